/** What an idle stream costs, in counts that do not depend on how fast the machine is, and that these counts would tell a waste. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { head, openRawClient, type RawClient } from '../../test/raw-client.ts'
import type {
  HeartbeatCosts,
  StandingCosts,
  StreamCostsRequest,
  StreamCostsStart,
  Waste,
} from '../../test/stream-costs-process.ts'

/** Streams that are open before anything is counted: they bring what is there once, and the tables of all that are counted. */
const FIRST = 280
/** Opened from one count to the next. */
const STEP = 40
const ALL = 480
/** It is 2.3 to 2.5 KB, of which the socket is most; with what `node:http` keeps of a request, from 8 KB on. */
const HEAP_BYTES_PER_STREAM_MAX = 2_800

interface Costs {
  readonly timersPerStream: number
  readonly heapBytesPerStream: number
  readonly heartbeat: HeartbeatCosts
}

async function measure(waste: Waste): Promise<Costs> {
  const program = new URL('../../test/stream-costs-process.ts', import.meta.url)
  const execArgv = ['--conditions=@downlink/source', '--expose-gc']
  const child = fork(program, [String(ALL), waste], { execArgv })
  await using ends = new AsyncDisposableStack()
  ends.defer(() => void child.kill('SIGKILL'))
  const answer = async (): Promise<unknown> => ((await once(child, 'message')) as [unknown])[0]
  const ask = async (request: StreamCostsRequest): Promise<unknown> => {
    child.send(request)
    return answer()
  }
  const start = (await answer()) as StreamCostsStart
  const opened: RawClient[] = []
  const openUpTo = async (end: number): Promise<void> => {
    const keys = start.keys.slice(opened.length, end)
    for (const client of await Promise.all(keys.map((key) => openStream(start.url, key)))) {
      opened.push(client)
      ends.use(client)
    }
  }
  while (opened.length < FIRST) await openUpTo(opened.length + STEP)
  const counts = [(await ask('stand')) as StandingCosts]
  while (opened.length < ALL) {
    await openUpTo(opened.length + STEP)
    counts.push((await ask('stand')) as StandingCosts)
  }
  return {
    timersPerStream: ((counts.at(-1)?.timers ?? Number.NaN) - (counts[0]?.timers ?? 0)) / (ALL - FIRST),
    heapBytesPerStream: Math.round(medianStep(counts.map(({ heapBytes }) => heapBytes))),
    heartbeat: (await ask('heartbeat')) as HeartbeatCosts,
  }
}

/** Per stream. What the engine compiles meanwhile, and when, counts as well, but not in most of the steps. */
function medianStep(counts: readonly number[]): number {
  const steps = counts.slice(1).map((count, index) => (count - (counts[index] ?? 0)) / STEP)
  return steps.sort((one, other) => one - other)[Math.floor(steps.length / 2)] ?? Number.NaN
}

async function openStream(url: string, key: string): Promise<RawClient> {
  const client = await openRawClient(new URL(url))
  const boot = { 'downlink-boot': 'boot-1', 'downlink-connect': '1', 'downlink-journal': 'journal-1 0' }
  client.write(
    `${head('GET', '/api/internal/agent/events', { authorization: `Bearer ${key}`, ...boot })}\r\n`,
  )
  await client.until(/connected/)
  return client
}

test('given hundreds of idle streams > none has a timer or a copy of its own, and each keeps little more than its socket', async () => {
  const { timersPerStream, heapBytesPerStream, heartbeat } = await measure('none')
  expect(timersPerStream, 'timers are for all streams together: see heartbeat-wheel.ts').toBe(0)
  expect(heartbeat.frames, 'a heartbeat is encoded once').toBe(1)
  expect(heartbeat.writes, 'and written once to each').toBe(ALL)
  expect(heartbeat.systemCalls ?? ALL, 'by one call of the system').toBeLessThan(1.1 * ALL)
  expect(heapBytesPerStream, 'look for what a stream keeps: see hand-over.ts').toBeLessThan(
    HEAP_BYTES_PER_STREAM_MAX,
  )
})

test('given a timer and copies for each stream > the counts tell', async () => {
  const { timersPerStream, heartbeat } = await measure('timers and copies')
  expect({ timersPerStream, frames: heartbeat.frames }).toEqual({ timersPerStream: 1, frames: ALL })
})

test('given what node:http keeps of each request > bytes and writes tell', async () => {
  const { heapBytesPerStream, heartbeat } = await measure('requests')
  expect(heapBytesPerStream).toBeGreaterThan(1.5 * HEAP_BYTES_PER_STREAM_MAX)
  expect(heartbeat.writes).toBeGreaterThan(ALL)
})
