import { encodeCommands, encodeSync, limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import { HeartbeatTimes } from './heartbeat-times.ts'
import { startHeartbeatWheel } from './heartbeat-wheel.ts'
import { createSessionRegistry } from './session-registry.ts'
import { createSession, type Session } from './session.ts'

interface Fake {
  readonly session: Session
  readonly clock: TestClock
  readonly texts: string[]
  takes: boolean
  ends: number
}

function fakeSession(
  boot?: { bootNonce: string; connectCounter: number },
  clock: TestClock = createTestClock(),
): Fake {
  const texts: string[] = []
  const fake: { takes: boolean; ends: number } = { takes: true, ends: 0 }
  const session = createSession({
    agentId: 'a1',
    ...(boot === undefined ? {} : { boot }),
    clock,
    connection: {
      write(bytes) {
        texts.push(new TextDecoder().decode(bytes))
        return fake.takes
      },
      end: () => void (fake.ends += 1),
    },
  })
  return Object.assign(fake, { session, clock, texts })
}

const frame = (text: string, onWritten?: () => void): { bytes: Uint8Array; onWritten?: () => void } => ({
  bytes: new TextEncoder().encode(text),
  ...(onWritten === undefined ? {} : { onWritten }),
})
const half = 'x'.repeat(limits.STREAM_QUEUE_BYTES_MAX / 2)

describe('given a session whose reader keeps up', () => {
  test('when frames are sent > each is written at once, and its callback says so', () => {
    const fake = fakeSession()
    const written: string[] = []
    fake.session.send(frame('a', () => written.push('a')))
    fake.session.send(frame('b'))
    fake.session.sendSync('wake')
    fake.session.sendSync('wake')
    expect(fake.texts).toEqual(['a', 'b', ...Array(2).fill('event: sync\ndata: {"reason":"wake"}\n\n')])
    expect(written).toEqual(['a'])
    expect(fake.clock.pendingTimers, 'a stream that flows needs no timer').toBe(0)
  })
})

describe('given a session whose reader stands still', () => {
  test('when it drains > queued frames go out in order, and heartbeats are left out meanwhile', () => {
    const fake = fakeSession()
    fake.takes = false
    const written: string[] = []
    for (const name of ['a', 'b', 'c']) fake.session.send(frame(name, () => written.push(name)))
    fake.session.sendHeartbeat(new TextEncoder().encode(': hb'))
    fake.session.sendSync('wake')
    fake.session.sendSync('wake')
    expect([fake.texts, written]).toEqual([['a'], ['a']])
    fake.session.drained()
    expect(written, 'after one frame the connection asks to wait again').toEqual(['a', 'b'])
    fake.takes = true
    fake.session.drained()
    expect(fake.texts.slice(0, 3)).toEqual(['a', 'b', 'c'])
    expect(fake.texts.slice(3), 'one owed sync is enough').toHaveLength(1)
  })

  test('when a sync over a window is queued (R-54) > it holds up none that is due at once', () => {
    const fake = fakeSession()
    fake.takes = false
    fake.session.send(frame('a'))
    fake.session.sendBroadcast(encodeSync('broadcast', 30_000))
    fake.session.sendSync('operator')
    fake.session.sendBroadcast(encodeSync('broadcast', 30_000))
    fake.takes = true
    fake.session.drained()
    expect(fake.texts.slice(1)).toEqual([
      'event: sync\ndata: {"reason":"broadcast","withinMs":30000}\n\n',
      'event: sync\ndata: {"reason":"operator"}\n\n',
    ])
  })

  test('when its queue overflows > whole unsent frames are dropped, and one sync is owed', () => {
    const fake = fakeSession()
    fake.takes = false
    const written: number[] = []
    for (let n = 0; n < 7; n++) fake.session.send(frame(half, () => written.push(n)))
    fake.takes = true
    fake.session.drained()
    expect(written[0]).toBe(0)
    const syncs = fake.texts.filter((text) => text.includes('event: sync'))
    expect(syncs).toEqual(['event: sync\ndata: {"reason":"overflow"}\n\n'])
    expect(fake.texts.length).toBe(written.length + 1)
    for (const text of fake.texts) expect(text === half || text === syncs[0]).toBe(true)
  })

  test('when it stands still for too long > it is cut, and its timer is gone', () => {
    const fake = fakeSession()
    fake.takes = false
    fake.session.send(frame('a'))
    fake.clock.advance(limits.STREAM_STALL_MS_MAX - 1)
    expect(fake.session.isEnded).toBe(false)
    fake.clock.advance(1)
    expect([fake.session.isEnded, fake.ends, fake.clock.pendingTimers]).toEqual([true, 1, 0])
    fake.session.send(frame('b'))
    fake.session.end()
    expect([fake.texts, fake.ends], 'nothing is written after the end').toEqual([['a'], 1])
  })

  test('when more is pushed than its queue holds > it is cut sooner, unless it moves', () => {
    const fake = fakeSession()
    const overflow = (): void => {
      fake.takes = false
      for (let bytes = 0; bytes <= 2 * limits.STREAM_QUEUE_BYTES_MAX; bytes += 100_000) {
        fake.session.send(frame('x'.repeat(100_000)))
      }
    }
    overflow()
    fake.clock.advance(limits.STREAM_OVERFLOW_MS_MAX - 1)
    fake.takes = true
    fake.session.drained()
    fake.clock.advance(limits.STREAM_STALL_MS_MAX)
    expect([fake.session.isEnded, fake.clock.pendingTimers]).toEqual([false, 0])
    overflow()
    fake.clock.advance(limits.STREAM_OVERFLOW_MS_MAX - 1)
    expect(fake.session.isEnded).toBe(false)
    fake.clock.advance(1)
    expect([fake.session.isEnded, fake.clock.pendingTimers]).toEqual([true, 0])
  })

  test('when the reader moves in time > it is not cut', () => {
    const fake = fakeSession()
    fake.takes = false
    fake.session.send(frame('a'))
    fake.clock.advance(limits.STREAM_STALL_MS_MAX - 1)
    fake.takes = true
    fake.session.drained()
    fake.clock.advance(limits.STREAM_STALL_MS_MAX)
    expect(fake.session.isEnded).toBe(false)
  })
})

describe('given a registry', () => {
  test('when another boot or an original arrives > the last to arrive wins', () => {
    const registry = createSessionRegistry()
    const fakes = [
      fakeSession({ bootNonce: 'x', connectCounter: 9 }),
      fakeSession({ bootNonce: 'y', connectCounter: 1 }),
      fakeSession(),
      fakeSession(),
    ]
    for (const { session } of fakes) expect(registry.attach(session)).toBe(true)
    expect(fakes.map((fake) => fake.ends)).toEqual([1, 1, 1, 0])
    expect([...registry.all()]).toEqual([fakes[3]?.session])
  })

  test('when an older stream of the same boot arrives late > it is the one that ends', () => {
    const registry = createSessionRegistry()
    const newer = fakeSession({ bootNonce: 'x', connectCounter: 3 })
    const late = fakeSession({ bootNonce: 'x', connectCounter: 2 })
    registry.attach(newer.session)
    expect(registry.attach(late.session)).toBe(false)
    expect([newer.ends, late.ends, registry.get('a1') === newer.session]).toEqual([0, 1, true])
    registry.detach(late.session)
    expect(registry.size, 'detaching a loser must leave the winner').toBe(1)
  })
})

describe('given a heartbeat wheel (R-11)', () => {
  test('when time passes > all streams get the same frame with a growing counter, until it is stopped', () => {
    const clock = createTestClock({ wallMs: 1_000 })
    const fakes = [fakeSession(undefined, clock), fakeSession(undefined, clock)]
    const times = new HeartbeatTimes()
    const wheel = startHeartbeatWheel({
      clock,
      heartbeatMs: 100,
      sessions: () => fakes.map((f) => f.session),
      windowMs: () => 2_000,
      times,
    })
    clock.advance(250)
    for (const fake of fakes) {
      expect(fake.texts).toEqual([': hb n=1 t=1100 w=2000\n\n', ': hb n=2 t=1200 w=2000\n\n'])
    }
    const echo = { counter: 2, hubMs: 1_200, agoMs: 20 }
    expect(times.roundTripMs(echo, clock.monotonicMs()), '50 ms ago, of which the agent had it 20').toBe(30)
    expect(times.roundTripMs({ ...echo, agoMs: 60 }, clock.monotonicMs()), 'of the future').toBeUndefined()
    expect(times.roundTripMs({ ...echo, hubMs: 1 }, clock.monotonicMs()), 'another hub’s').toBeUndefined()
    expect(times.roundTripMs({ ...echo, counter: 9 }, clock.monotonicMs()), 'never sent').toBeUndefined()
    clock.advance(100 * limits.HEARTBEATS_REMEMBERED)
    expect(times.roundTripMs(echo, clock.monotonicMs()), 'forgotten by now').toBeUndefined()
    expect(clock.pendingTimers, 'one timer for all streams').toBe(1)
    wheel[Symbol.dispose]()
    clock.advance(1_000)
    expect(fakes[0]?.texts).toHaveLength(2 + limits.HEARTBEATS_REMEMBERED)
  })
})

test('given more streams than get their heartbeat in one turn > what comes meanwhile is done before the last get theirs', () => {
  const clock = createTestClock()
  const fakes = Array.from({ length: 2 * limits.STREAMS_TOGETHER_MAX + 1 }, () =>
    fakeSession(undefined, clock),
  )
  const written = (): number => fakes.filter((fake) => fake.texts.length > 0).length
  using _ = startHeartbeatWheel({
    clock,
    heartbeatMs: 100,
    sessions: () => fakes.map((fake) => fake.session),
    windowMs: () => 2_000,
    times: new HeartbeatTimes(),
  })
  const seen: number[] = []
  const look = (): void => {
    seen.push(written())
    if (seen.length < 3) clock.setTimer(0, look)
  }
  // Set behind the wheel's own timer, it comes next.
  clock.setTimer(100, look)
  clock.advance(100)
  expect(seen, 'streams served after each turn').toEqual([
    limits.STREAMS_TOGETHER_MAX,
    2 * limits.STREAMS_TOGETHER_MAX,
    fakes.length,
  ])
  expect(new Set(fakes.map((fake) => fake.texts.join())).size, 'all are told the same').toBe(1)
  clock.advance(100)
  expect(
    fakes.map((fake) => fake.texts.length),
    'once in each period',
  ).toEqual(fakes.map(() => 2))
})

test('given one control > one frame carries it, so that its write can be recorded', () => {
  const args = 'x'.repeat(limits.CONTROL_ARGS_BYTES_MAX - 2)
  expect(encodeCommands([{ action: 'tune', taskId: 't', args: { args } }])).toHaveLength(1)
})
