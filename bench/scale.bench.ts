/** One hub as its fleet grows, and as one mailbox grows: whether cost stays linear, and push latency flat. */
import type { Effort } from './codec.bench.ts'
import { figureOf, startLoad } from './fleet/load.ts'
import { streamsHere } from './fleet/size.ts'
import { ACKNOWLEDGING, startOurs } from './fleet/subject.ts'
import type { Row } from './report.ts'
import { spread } from './rounds.ts'

const SIZES = [1_000, 5_000, 10_000, 19_000] as const
const QUICK_SIZES = [200, 1_000] as const
const HEARTBEAT_MS = 2_000
const HEARTBEATS = 4
const SETTLE_S = 4
/** Controls that are open in the mailbox of one agent when others are sent to it: none, some, nearly its bound of 256. */
const OPEN_CONTROLS = [0, 64, 192] as const
const PROBES = 48

interface Cost {
  readonly kibPerStream: number
  readonly heartbeatCpuUs: number
  readonly p50Us: number
}

/** Seconds of one round. */
export const SCALE_ROUND_S = 85

export async function scaleRows({ rounds, quick }: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  const most = streamsHere(Math.max(...SIZES))
  const sizes = quick ? QUICK_SIZES : SIZES.map((size) => Math.min(size, most))
  const fleets: (readonly Cost[])[] = []
  const mailboxes: (readonly number[])[] = []
  for (let round = 0; round < rounds; round += 1) {
    fleets.push(await measureFleet(sizes))
    mailboxes.push(await measureMailbox())
    console.error(`round ${round + 1} of ${rounds}`)
  }
  const ofFleet = (name: string, field: keyof Cost, reach: number): Row => {
    const columns = sizes.map((_, index) => fleets.map((costs) => costs[index]?.[field] ?? Number.NaN))
    return growth(
      name,
      sizes.map((size) => `${size} streams`),
      columns,
      { is: 'at most', value: reach },
    )
  }
  const rows = [
    // Linear is "no more per stream"; the extra tenth is what a growing heap may leave half used.
    ofFleet(
      `memory of each further stream, KiB: last of ${sizes.join(', ')} beside the first`,
      'kibPerStream',
      1.1,
    ),
    ofFleet('CPU of one heartbeat, µs, beside the smallest fleet', 'heartbeatCpuUs', 1.25),
    ofFleet('push latency p50, µs, beside the smallest fleet', 'p50Us', 1.25),
    growth(
      'a control to a mailbox with many open, p50 µs, beside an empty one',
      OPEN_CONTROLS.map((count) => `${count} open`),
      OPEN_CONTROLS.map((_, index) => mailboxes.map((times) => times[index] ?? Number.NaN)),
      undefined,
    ),
  ]
  rows.forEach(onRow)
  return rows
}

/** The last column as a ratio of the first, round by round. */
function growth(
  name: string,
  titles: readonly string[],
  columns: readonly (readonly number[])[],
  target: Row['target'],
): Row {
  const [first = [], last = []] = [columns[0], columns.at(-1)]
  return {
    suite: 'scale',
    name,
    unit: '×',
    result: spread(last.map((value, round) => value / (first[round] ?? Number.NaN))),
    target,
    figures: Object.fromEntries(titles.map((title, index) => [title, spread(columns[index] ?? [])])),
  }
}

/** One hub whose fleet grows; the memory of each size is that of the streams added to the one before. */
async function measureFleet(sizes: readonly number[]): Promise<readonly Cost[]> {
  const streams = Math.max(...sizes)
  await using hub = await startOurs({ streams, heartbeatMs: HEARTBEAT_MS })
  await using load = startLoad([
    '--url',
    hub.url,
    '--streams',
    String(streams),
    ...hub.loadArgs,
    ...ACKNOWLEDGING,
    ...hub.pids.flatMap((pid) => ['--server', String(pid)]),
  ])
  const costs: Cost[] = []
  let beforeKib = figureOf(await load.step('memory'), 'pssKib')
  let before = 0
  for (const size of sizes) {
    await load.step(`connect ${size}`)
    await load.step(`settle ${SETTLE_S}`)
    const nowKib = figureOf(await load.step('memory'), 'pssKib')
    const beats = await load.step(`heartbeats ${(HEARTBEAT_MS / 1_000) * HEARTBEATS}`)
    const latency = await load.step('latency 400 500')
    costs.push({
      kibPerStream: (nowKib - beforeKib) / Math.max(1, size - before),
      heartbeatCpuUs: (figureOf(beats, 'serverCpuS') * 1e6) / (size * HEARTBEATS),
      p50Us: figureOf(latency, 'p50Us'),
    })
    beforeKib = nowKib
    before = size
  }
  return costs
}

/** One agent that takes nothing in, so that what is sent to it stays open. */
async function measureMailbox(): Promise<readonly number[]> {
  await using hub = await startOurs({ streams: 1, heartbeatMs: HEARTBEAT_MS })
  await using load = startLoad(['--url', hub.url, '--streams', '1', ...hub.loadArgs, ...ACKNOWLEDGING])
  await load.step('connect 1')
  const times: number[] = []
  let open = 0
  for (const count of OPEN_CONTROLS) {
    if (count > open) await load.step(`latency ${count - open} 0`)
    times.push(figureOf(await load.step(`latency ${PROBES} 200`), 'p50Us'))
    open = Math.max(open, count) + PROBES
  }
  return times
}
