/** The event stream client end to end over loopback, beside `eventsource`, fetch with eventsource-parser, and raw TCP. */
import { startChild, type Child } from './child.ts'
import type { ClientAnswer, ClientSubject } from './client-process.ts'
import type { ServeAnswer, ServeRequest } from './client-server.ts'
import type { Effort } from './codec.bench.ts'
import type { Row, Target } from './report.ts'
import { inRounds, ratioOf, spreadOf, type Round } from './rounds.ts'

const BURST_SUBJECTS = ['downlink', 'eventsource', 'fetch + eventsource-parser'] as const
const LATENCY_SUBJECTS = [...BURST_SUBJECTS, 'raw TCP'] as const
/** Enough for compilers and collectors to have settled: shorter bursts measure how each client starts. */
const BURST_EVENTS = 1_000_000
const LATENCY_EVENTS = 2_000
const QUICK_PART = 20

export async function clientRows(effort: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  await using server = startChild('client-server.ts')
  await using ours = startChild('client-process.ts', ['downlink'])
  await using eventSource = startChild('client-process.ts', ['eventsource'])
  await using withFetch = startChild('client-process.ts', ['fetch + eventsource-parser'])
  await using raw = startChild('client-process.ts', ['raw TCP'])
  const clients: Readonly<Record<ClientSubject, Child>> = {
    downlink: ours,
    eventsource: eventSource,
    'fetch + eventsource-parser': withFetch,
    'raw TCP': raw,
  }
  const ask = async (subject: ClientSubject, request: ServeRequest): Promise<ClientAnswer> => {
    const ports = (await server.ask(request)) as ServeAnswer
    return (await clients[subject].ask({ ...request, ...ports })) as ClientAnswer
  }
  const rows = [
    ...(await burstRows(ask, 'texts', effort)),
    ...(await burstRows(ask, 'commands', effort)),
    ...(await latencyRows(ask, effort)),
  ]
  rows.forEach(onRow)
  return rows
}

type Ask = (subject: ClientSubject, request: ServeRequest) => Promise<ClientAnswer>

async function burstRows(ask: Ask, mode: 'texts' | 'commands', { rounds, quick }: Effort): Promise<Row[]> {
  const request: ServeRequest = { mode, events: quick ? BURST_EVENTS / QUICK_PART : BURST_EVENTS }
  for (const subject of BURST_SUBJECTS) await ask(subject, request)
  const cpu: Partial<Record<ClientSubject, number>>[] = []
  const speeds = await inRounds(rounds, BURST_SUBJECTS, async (subject, round) => {
    const answer = await ask(subject, request)
    cpu[round] = { ...cpu[round], [subject]: answer.cpuUsPerEvent }
    return answer.eventsPerSecond
  })
  const costs = cpu as Round<(typeof BURST_SUBJECTS)[number]>[]
  const speed: Target | undefined = mode === 'texts' ? { is: 'at least', value: 4 } : undefined
  const cost: Target | undefined = mode === 'texts' ? { is: 'at most', value: 0.25 } : undefined
  const what = mode === 'texts' ? 'burst of texts' : 'burst of commands, parsed'
  return [
    rowOf(`${what}, events/s beside eventsource`, speeds, 'eventsource', speed, BURST_SUBJECTS),
    rowOf(`${what}, events/s beside fetch`, speeds, 'fetch + eventsource-parser', undefined, []),
    rowOf(`${what}, CPU µs an event beside eventsource`, costs, 'eventsource', cost, BURST_SUBJECTS),
  ]
}

async function latencyRows(ask: Ask, { rounds, quick }: Effort): Promise<Row[]> {
  const request: ServeRequest = {
    mode: 'latency',
    events: quick ? LATENCY_EVENTS / QUICK_PART : LATENCY_EVENTS,
  }
  for (const subject of LATENCY_SUBJECTS) await ask(subject, request)
  const p50 = await inRounds(
    rounds,
    LATENCY_SUBJECTS,
    async (subject) => (await ask(subject, request)).latencyP50Us,
  )
  return [
    rowOf(
      'latency p50, µs, beside eventsource',
      p50,
      'eventsource',
      { is: 'at most', value: 0.8 },
      LATENCY_SUBJECTS,
    ),
    rowOf('latency p50 beside raw TCP', p50, 'raw TCP', { is: 'at most', value: 1.4 }, []),
  ]
}

function rowOf<Subject extends ClientSubject>(
  name: string,
  rounds: readonly Round<Subject>[],
  base: Subject & ClientSubject,
  target: Target | undefined,
  shown: readonly Subject[],
): Row {
  return {
    suite: 'client',
    name,
    unit: '×',
    result: ratioOf<ClientSubject>(rounds as readonly Round<ClientSubject>[], 'downlink', base),
    target,
    figures: Object.fromEntries(shown.map((subject) => [subject, spreadOf(rounds, subject)])),
  }
}
