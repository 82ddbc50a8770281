/** One hub process beside Nchan, better-sse, plain node:http and bare sockets: memory, CPU, rates and latency of thousands of streams. */
import type { Effort } from './codec.bench.ts'
import { fsyncTimesUs, percentile } from './fleet/fsync.ts'
import { figureOf, startLoad, type Load } from './fleet/load.ts'
import { rowOf, type Figures, type RowPlan } from './fleet/rows.ts'
import { streamsHere } from './fleet/size.ts'
import {
  ACKNOWLEDGING,
  nchanMissing,
  startNchan,
  startOurs,
  startPeer,
  type Subject,
  type SubjectOptions,
} from './fleet/subject.ts'
import type { Row } from './report.ts'

/** Streams for memory, and for everything else. */
const IDLE_STREAMS = 19_000
const STREAMS = 10_000
const QUICK_STREAMS = 1_000
/** Short, so that a window holds several; every subject has the same. */
const HEARTBEAT_MS = 5_000
const HEARTBEATS = 3
/** After the streams are open: what connecting left behind is collected. */
const SETTLE_S = 5

const NAMES = [
  'kibPerStream',
  'streamsPerS',
  'heartbeatCpuMs',
  'nudgesPerS',
  'controlsPerS',
  'batchPerS',
  'p50Us',
  'p99Us',
] as const
type Name = (typeof NAMES)[number]

const SUBJECTS: Readonly<Record<string, (options: SubjectOptions) => Promise<Subject>>> = {
  downlink: startOurs,
  Nchan: startNchan,
  'better-sse': (options) => startPeer('better-sse', options),
  'node:http': (options) => startPeer('node:http', options),
  'raw sockets': (options) => startPeer('raw sockets', options),
}

/** Seconds of one round. */
export const HUB_ROUND_S = 215

export async function hubRows({ rounds, quick }: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  const missing = nchanMissing()
  if (missing !== undefined) console.error(`Rows beside Nchan have no ratio: ${missing}.`)
  const names = Object.keys(SUBJECTS).filter((name) => name !== 'Nchan' || missing === undefined)
  const size = quick ? QUICK_STREAMS : STREAMS
  const idle = quick ? QUICK_STREAMS : streamsHere(IDLE_STREAMS)
  const measured: Record<string, Figures<Name>>[] = []
  for (let round = 0; round < rounds; round += 1) {
    const figures: Record<string, Figures<Name>> = { 'one fsync': fsyncFigures() }
    for (let turn = 0; turn < names.length; turn += 1) {
      const name = names[(turn + round) % names.length] ?? ''
      figures[name] = await measure(name, idle, Math.min(size, idle))
      console.error(`round ${round + 1} of ${rounds}: ${name}`)
    }
    measured.push(figures)
  }
  const base = missing === undefined ? 'Nchan' : undefined
  const rows = plansOf(idle, Math.min(size, idle)).map((plan) => rowOf(plan, measured, base))
  rows.forEach(onRow)
  return rows
}

function plansOf(idle: number, size: number): readonly RowPlan<Name>[] {
  const suite = 'hub'
  const most = (value: number): RowPlan<Name>['target'] => ({ is: 'at most', value })
  const least = (value: number): RowPlan<Name>['target'] => ({ is: 'at least', value })
  const of = (name: string, ours: Name, target: RowPlan<Name>['target'], base?: Name): RowPlan<Name> => ({
    suite,
    name,
    ours,
    ...(target === undefined ? {} : { target }),
    ...(base === undefined ? {} : { base }),
  })
  return [
    of(`idle memory of a stream, KiB, at ${idle}`, 'kibPerStream', most(0.45)),
    of('streams accepted per s', 'streamsPerS', least(0.5)),
    of(`CPU of 1,000 heartbeats, ms, at ${size}`, 'heartbeatCpuMs', most(1.5)),
    of(`a nudge broadcast to ${size}, deliveries per s`, 'nudgesPerS', least(1.2)),
    of('controls, one POST each, per s', 'controlsPerS', least(0.45)),
    of("controls in batches, per s, beside Nchan's one POST each", 'batchPerS', least(1.5), 'controlsPerS'),
    of(`push latency at ${size}, p50, µs`, 'p50Us', most(3)),
    of(`push latency at ${size}, p99, µs`, 'p99Us', most(3)),
  ]
}

function fsyncFigures(): Figures<Name> {
  const times = fsyncTimesUs(200)
  const none = Object.fromEntries(NAMES.map((name) => [name, Number.NaN])) as Record<Name, number>
  return { ...none, p50Us: percentile(times, 0.5), p99Us: percentile(times, 0.99) }
}

async function measure(name: string, idle: number, size: number): Promise<Figures<Name>> {
  const isOurs = name === 'downlink'
  const start = SUBJECTS[name]
  if (start === undefined) throw new Error(`There is no subject ${name}.`)
  await using subject = await start({ streams: idle, heartbeatMs: HEARTBEAT_MS })
  await using load = startLoad([
    '--url',
    subject.url,
    '--streams',
    String(idle),
    ...subject.pids.flatMap((pid) => ['--server', String(pid)]),
    ...subject.loadArgs,
    ...(isOurs ? ACKNOWLEDGING : []),
  ])
  const idleFigures = await measureIdle(load, idle, size)
  const beats = await load.step(`heartbeats ${(HEARTBEAT_MS / 1_000) * HEARTBEATS}`)
  const spread = await load.step('broadcast 10 50')
  const throughput = await load.step(`throughput ${2 * size} 32`)
  const batch = isOurs ? await load.step(`batch ${size} 3`) : undefined
  const latency = await load.step(`latency ${Math.min(1_500, size)} 500`)
  for (const step of [throughput, latency, ...(batch === undefined ? [] : [batch])]) assertAll(name, step)
  return {
    ...idleFigures,
    heartbeatCpuMs: (figureOf(beats, 'serverCpuS') * 1e6) / (size * HEARTBEATS),
    nudgesPerS: figureOf(spread, 'deliveriesPerS'),
    controlsPerS: figureOf(throughput, 'controlsPerS'),
    batchPerS: batch === undefined ? Number.NaN : figureOf(batch, 'controlsPerS'),
    p50Us: figureOf(latency, 'p50Us'),
    p99Us: figureOf(latency, 'p99Us'),
  }
}

async function measureIdle(
  load: Load,
  idle: number,
  size: number,
): Promise<{ kibPerStream: number; streamsPerS: number }> {
  const before = await load.step('memory')
  const connected = await load.step(`connect ${idle}`)
  await load.step(`settle ${SETTLE_S}`)
  const after = await load.step('memory')
  if (figureOf(after, 'streams') !== idle) {
    throw new Error(
      `Of ${idle} streams ${figureOf(after, 'streams')} are open. Look at what was refused, above.`,
    )
  }
  await load.step(`keep ${size}`)
  return {
    kibPerStream: (figureOf(after, 'pssKib') - figureOf(before, 'pssKib')) / idle,
    streamsPerS: figureOf(connected, 'streamsPerS'),
  }
}

/** A rate counts only if everything arrived. */
function assertAll(name: string, step: Awaited<ReturnType<Load['step']>>): void {
  const lost = figureOf(step, 'undelivered')
  if (lost !== 0)
    throw new Error(`${name} lost ${lost} controls in "${String(step['step'])}". It may not do so.`)
}
