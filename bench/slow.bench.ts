/** A reader that stops while 100 MB are pushed to it: what each server grows, when it cuts, whether anything acknowledged is lost. */
import { readFileSync } from 'node:fs'
import type { Effort } from './codec.bench.ts'
import { figureOf, startLoad, type StepFigures } from './fleet/load.ts'
import {
  ACKNOWLEDGING,
  nchanMissing,
  startNchan,
  startOurs,
  startPeer,
  type OurHub,
  type Subject,
  type SubjectOptions,
} from './fleet/subject.ts'
import type { Row } from './report.ts'
import { spread } from './rounds.ts'

/** The slow one and its healthy neighbours. */
const STREAMS = 100
const HEARTBEAT_MS = 15_000
const MEGABYTES = 100
const QUICK_MEGABYTES = 10
const BYTES = 10_000
const WARM_UP = 10_000
const CONTROL = '{"action":"pause","taskId":"slow","args":{"n":"t{seq}","pad":"{pad}"}}'

interface Outcome {
  readonly grownMib: number
  readonly cutS: number
  readonly lost: number
  readonly healthyP50Us: number
}

const SUBJECTS: Readonly<Record<string, (options: SubjectOptions) => Promise<Subject>>> = {
  downlink: startOurs,
  Nchan: startNchan,
  'better-sse': (options) => startPeer('better-sse', options),
  'node:http': (options) => startPeer('node:http', options),
}

/** Seconds of one round. */
export const SLOW_ROUND_S = 80

export async function slowRows({ rounds, quick }: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  const names = Object.keys(SUBJECTS).filter((name) => name !== 'Nchan' || nchanMissing() === undefined)
  const megabytes = quick ? QUICK_MEGABYTES : MEGABYTES
  const measured: Readonly<Record<string, Outcome>>[] = []
  for (let round = 0; round < rounds; round += 1) {
    const outcomes: Record<string, Outcome> = {}
    for (let turn = 0; turn < names.length; turn += 1) {
      const name = names[(turn + round) % names.length] ?? ''
      outcomes[name] = await measure(name, megabytes)
      console.error(`round ${round + 1} of ${rounds}: ${name}`)
    }
    measured.push(outcomes)
  }
  const row = (name: string, unit: string, field: keyof Outcome, reach: number): Row => {
    const of = (subject: string): number[] =>
      measured.map((outcomes) => outcomes[subject]?.[field] ?? Number.NaN)
    return {
      suite: 'slow',
      name: `a reader that stops, ${megabytes} MB pushed: ${name}`,
      unit,
      result: spread(of('downlink')),
      target: { is: 'at most', value: reach },
      figures: Object.fromEntries(names.map((subject) => [subject, spread(of(subject))])),
    }
  }
  const rows = [
    row('growth', 'MiB', 'grownMib', 32),
    row('cut after', 's', 'cutS', 2),
    row('acknowledged and lost', 'controls', 'lost', 0),
  ]
  rows.forEach(onRow)
  return rows
}

async function measure(name: string, megabytes: number): Promise<Outcome> {
  const start = SUBJECTS[name]
  if (start === undefined) throw new Error(`There is no subject ${name}.`)
  await using subject = await start({ streams: STREAMS, heartbeatMs: HEARTBEAT_MS })
  await using load = startLoad([
    '--url',
    subject.url,
    '--streams',
    String(STREAMS),
    ...subject.loadArgs,
    ...(name === 'downlink' ? ACKNOWLEDGING : []),
    '--publish-body',
    CONTROL,
    '--match',
    'n":"t',
    ...subject.pids.flatMap((pid) => ['--server', String(pid)]),
  ])
  await load.step(`connect ${STREAMS}`)
  // A server at work: that the heap of a fresh one grows has nothing to do with the reader.
  await load.step(`throughput ${WARM_UP} 8`)
  await load.step('settle 2')
  const figures = await load.step(`slow ${megabytes} ${BYTES}`)
  const offered = figureOf(figures, 'offeredBytes')
  if (offered !== megabytes * 1e6) {
    throw new Error(`${name} was offered ${offered} bytes, not ${megabytes} MB, before the time was over.`)
  }
  const cutS = figureOf(figures, 'cutS')
  return {
    grownMib: figureOf(figures, 'grownKib') / 1_024,
    // Not cut while it was looked at: longer than all of that.
    cutS: cutS < 0 ? figureOf(figures, 'wallS') : cutS,
    lost: name === 'downlink' ? await lostByOurs(subject as OurHub, figures) : lostByPeer(figures),
    healthyP50Us: figureOf(figures, 'healthyP50Us'),
  }
}

/** Each pause takes the place of the one before it, so what must not be lost is the last: on the stream, or in the next sync. */
async function lostByOurs({ url, files }: OurHub, figures: StepFigures): Promise<number> {
  if (figures['lastReceived'] === true) return 0
  const [key = ''] = readFileSync(files.keysFile, 'utf8').split('\n', 1)
  const body = { agentId: 'a0', tasks: [], freeSlots: 0, bootNonce: 'boot-0', connectCounter: 2 }
  const reply = await fetch(`${url}/api/internal/agent/sync`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, journalId: 'journal-0', journalPosition: 0, journalOpenedAt: 0 }),
  })
  const { controls } = (await reply.json()) as { controls: readonly { args?: { n?: string } }[] }
  return controls.some(({ args }) => args?.n !== undefined) ? 0 : 1
}

/** Of what was answered with 2xx. */
function lostByPeer(figures: StepFigures): number {
  return Math.max(0, figureOf(figures, 'accepted') - figureOf(figures, 'received'))
}
