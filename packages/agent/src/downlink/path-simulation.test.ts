/** An agent's downlink over paths of every kind, for hours of virtual time: what it calls them, what it uses, and that it comes back. */
import { limits, type PathVerdict } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { seededRandom } from '../../../testkit/src/simulation/scheduler.ts'
import { createSimulatedPath, type PathKind } from '../../test/simulated-path.ts'
import { createBoot } from '../boot.ts'
import { createAgentClient } from '../client.ts'
import { createTestClock, passTime } from '../testing/index.ts'
import { watchForGaps } from './clock-gap.ts'
import type { ConnectionStatus, DownlinkMode } from './connection-state.ts'
import { runDownlink } from './supervisor.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
/** Streams that a path which lets none through may cost in an hour: the tries before the fall-back, and probes. */
const DIALS_PER_HOUR_MAX = 30
/** The same without long-polling: one in about half of the longest backoff. */
const SSE_DIALS_PER_HOUR_MAX = 160
/** A stream is back so long after the path is mended: the last probe's pace, and its proof. */
const BACK_MS_MAX =
  limits.PROBE_MS_MAX +
  (2 ** limits.PROBE_DOUBLINGS_MAX * limits.PROBE_HEARTBEATS + 2) * limits.HEARTBEAT_MS_DEFAULT
const SEEDS = [1, 2]

/** Runs a downlink over a path. */
async function over(kind: PathKind, seed: number, mode: DownlinkMode = 'auto') {
  const clock = createTestClock()
  const path = createSimulatedPath(clock, kind)
  const client = createAgentClient({
    hubs: ['https://hub.test'],
    credential: () => 'key',
    boot: createBoot((size) => new Uint8Array(size)),
    clock,
    transport: path.transport,
  })
  const controller = new AbortController()
  let status: ConnectionStatus | undefined
  let news = 0
  const syncs: string[] = []
  const flips: string[] = []
  const running = runDownlink({
    client,
    clock,
    random: seededRandom(seed),
    signal: controller.signal,
    mode,
    onEvent: (event) => void (news += event.type === 'sync' ? 1 : 0),
    onSyncWanted: (reason) => {
      syncs.push(reason)
      news += reason === 'wake' ? 1 : 0
    },
    watchGaps: (onGap) => watchForGaps(clock, onGap),
    onStatus: (next) => {
      status = next
      const uses = next.poll === 'off' ? 'sse' : 'poll'
      if (flips.at(-1) !== uses) flips.push(uses)
    },
    // As syncs would tell it: the hub's clock, less the time that a reply takes.
    hubClock: {
      get offsetMs() {
        return clock.wallMs() - clock.monotonicMs() - 20
      },
      heard: () => undefined,
    },
  })
  return {
    path,
    flips,
    pass: (ms: number) => passTime(clock, ms),
    verdict: () => status?.path,
    isStreaming: () => status?.name === 'open' && status.poll === 'off',
    poll: () => status?.poll,
    news: () => news,
    syncs: () => [...syncs],
    /** The monotonic clock stands still meanwhile, and the hub's goes on. */
    suspend: (ms: number) => clock.setWallMs(clock.wallMs() + ms),
    dialsSince: (fromMs: number) => path.dials.filter((atMs) => atMs >= fromMs).length,
    nowMs: () => clock.monotonicMs(),
    async [Symbol.asyncDispose]() {
      controller.abort()
      await running
      path.stop()
      await client.close()
      await passTime(clock, 0)
      expect(clock.pendingTimers, 'a timer outlives the downlink').toBe(0)
    },
  }
}

test('given a machine that was suspended > the stream is dialled anew at once, and a sync is asked for', async () => {
  await using run = await over('ok', 1)
  await run.pass(10 * MINUTE)
  const syncs = run.syncs()
  run.suspend(8 * HOUR)
  await run.pass(limits.CLOCK_GAP_CHECK_MS + limits.RECONNECT_MS_MIN)
  expect([run.path.dials.length, run.isStreaming()]).toEqual([2, true])
  expect(run.syncs().slice(syncs.length)).toEqual(['resumed', 'stream opened'])
  await run.pass(HOUR)
  expect([run.path.dials.length, run.verdict()?.verdict]).toEqual([2, 'ok'])
})

type Expected = readonly [kind: PathKind, verdict: PathVerdict]

/** Nothing of a stream gets through, but requests do. */
const WITHOUT_STREAMS: readonly Expected[] = [
  ['headers held back', 'silent'],
  ['body held back', 'body-buffered'],
  ['body in batches of 3', 'body-buffered'],
  ['black hole after 150 bytes', 'stalled'],
  ['cut when idle for 12 s', 'cut-idle'],
  ['cut after 20 s', 'unstable'],
  ['ended in order after 20 s', 'unstable'],
  ['login page', 'login-page'],
  ['redirect', 'login-page'],
  ['other content type', 'wrong-content-type'],
  ['compressed', 'compressed'],
  ['proxy wants a password', 'proxy-refused'],
]
/** Nobody is reached. */
const UNREACHED: readonly Expected[] = [
  ['refused', 'refused'],
  ['no such name', 'dns'],
  ['bad certificate', 'tls'],
  ['SYN dropped', 'unreachable'],
]
/** A stream is open all the time, but late. */
const LATE: readonly Expected[] = [
  ['one event behind', 'one-behind'],
  ['body in batches of 2', 'body-buffered'],
]

test.each(SEEDS)(
  'given a path that lets streams through > one stream is all that it costs (seed %i)',
  async (seed) => {
    for (const kind of ['ok', 'cut when idle for 30 s'] as const) {
      await using run = await over(kind, seed)
      await run.pass(2 * HOUR)
      expect([run.verdict()?.verdict, run.isStreaming()]).toEqual(['ok', true])
      expect([run.path.dials.length, run.path.asks.length]).toEqual([1, 0])
    }
  },
)

test.each(SEEDS.flatMap((seed) => WITHOUT_STREAMS.map((expected) => [...expected, seed] as const)))(
  'given a path with %s > it is called %s, wake stands in, and the stream comes back once it is mended (seed %i)',
  async (kind, verdict, seed) => {
    await using run = await over(kind, seed)
    await run.pass(HOUR)
    expect(run.verdict()?.verdict).toBe(verdict)
    expect([run.poll(), run.isStreaming()], 'wake must bring the news').toEqual(['working', false])
    expect(run.path.dials.length).toBeLessThanOrEqual(DIALS_PER_HOUR_MAX)
    const before = run.news()
    run.path.nudge()
    await run.pass(1_000)
    expect(run.news(), 'news must come within a second').toBeGreaterThan(before)

    run.path.kind = 'ok'
    await run.pass(BACK_MS_MAX)
    expect([run.verdict()?.verdict, run.isStreaming()]).toEqual(['ok', true])
    expect(run.flips, 'it must not go back and forth').toEqual(['sse', 'poll', 'sse'])
    expect(run.path.mostAtOnce).toEqual({ streams: 1, asks: 1 })
  },
)

test.each(SEEDS.flatMap((seed) => UNREACHED.map((expected) => [...expected, seed] as const)))(
  'given a hub that is %s > that is called %s, tries are few, and it is back once it can be reached (seed %i)',
  async (kind, verdict, seed) => {
    await using run = await over(kind, seed)
    await run.pass(HOUR)
    expect([run.verdict()?.verdict, run.poll()]).toEqual([verdict, 'off'])
    expect(run.path.dials.length).toBeLessThanOrEqual(SSE_DIALS_PER_HOUR_MAX)
    run.path.kind = 'ok'
    await run.pass(2 * MINUTE)
    expect([run.verdict()?.verdict, run.isStreaming()]).toEqual(['ok', true])
  },
)

test.each(SEEDS.flatMap((seed) => LATE.map((expected) => [...expected, seed] as const)))(
  'given a path with %s > it is called %s by its heartbeats, and wake brings the news beside the stream (seed %i)',
  async (kind, verdict, seed) => {
    await using run = await over(kind, seed)
    await run.pass(3 * MINUTE)
    expect(run.verdict()?.verdict).toBe(verdict)
    expect(run.verdict()?.lagMs).toBeGreaterThan(limits.HEARTBEAT_MS_DEFAULT - 1_000)
    expect(run.poll()).toBe('working')
    const before = run.news()
    run.path.nudge()
    await run.pass(1_000)
    expect(run.news()).toBeGreaterThan(before)
    await run.pass(HOUR)
    expect([run.verdict()?.verdict, run.isStreaming()]).toEqual([verdict, false])
    expect(run.path.dials.length, 'the open stream is its own probe').toBe(1)
    run.path.kind = 'ok'
    await run.pass((limits.PROBE_HEARTBEATS + 2) * limits.HEARTBEAT_MS_DEFAULT)
    expect([run.verdict()?.verdict, run.isStreaming()]).toEqual(['ok', true])
    expect(run.flips).toEqual(['sse', 'poll', 'sse'])
  },
)

test.each(SEEDS)(
  'given a path that cuts what has just been trusted > it is trusted ever later (seed %i)',
  async (seed) => {
    await using run = await over('cut after 50 s', seed)
    await run.pass(4 * HOUR)
    expect(run.verdict()?.verdict).toBe('unstable')
    expect(run.flips.length, 'it goes back and forth').toBeLessThanOrEqual(6)
    const fromMs = run.nowMs()
    await run.pass(HOUR)
    expect(run.dialsSince(fromMs)).toBeLessThanOrEqual(DIALS_PER_HOUR_MAX)
  },
)

test.each(SEEDS.flatMap((seed) => WITHOUT_STREAMS.map(([kind]) => [kind, seed] as const)))(
  'given the mode sse and a path with %s > tries are few all the same (seed %i)',
  async (kind, seed) => {
    await using run = await over(kind, seed, 'sse')
    await run.pass(HOUR)
    expect(run.path.asks).toEqual([])
    expect(run.dialsSince(0)).toBeLessThanOrEqual(SSE_DIALS_PER_HOUR_MAX)
  },
)
