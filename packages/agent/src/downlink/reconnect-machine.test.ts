/** When an agent comes back: after a loss within the hub's window, after a drain at its slot, after this machine stood still. */
import { DownlinkError, limits, type DownlinkEvent } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import {
  initialConnection,
  type ConnectionAction,
  type ConnectionEvent,
  type ConnectionState,
  type DownlinkMode,
} from './connection-state.ts'
import { connectionStep } from './machine.ts'

const HB = limits.HEARTBEAT_MS_DEFAULT
const REFUSED = { code: 'connect_failed', message: 'refused', retry: 'backoff' } as const
const LOST = { reason: 'lost', error: new DownlinkError('connection_lost', 'lost') } as const
const PING: DownlinkEvent = { type: 'ping', comment: 'hb' }

/** A connection that is stepped by hand. */
function connectionOf(mode: DownlinkMode = 'auto') {
  let state: ConnectionState = initialConnection(mode)
  let actions: readonly ConnectionAction[] = []
  const run = {
    nowMs: 0,
    random: 0,
    step(event: ConnectionEvent, afterMs = 0) {
      run.nowMs += afterMs
      ;({ state, actions } = connectionStep(state, event, { nowMs: run.nowMs, random: run.random }))
      return run
    },
    /** An open stream that has said this. */
    open(...comments: string[]) {
      if (state.name === 'waiting') run.step({ type: state.dueMs === 0 ? 'started' : 'timer' })
      run.step({ type: 'opened' })
      for (const comment of comments) run.frame({ type: 'ping', comment })
      return run
    },
    frame: (frame: DownlinkEvent, afterMs = 0) =>
      run.step({ type: 'frame', frame, heartbeatMs: HB }, afterMs),
    lose: (afterMs: number) => run.step({ type: 'ended', end: LOST, retryMs: 2_000 }, afterMs),
    refuse: (afterMs: number, retryAfterMs = 0, code = 'connect_failed') =>
      run
        .step({ type: 'timer' }, afterMs)
        .step({ type: 'failed', failure: { ...REFUSED, code }, retryAfterMs }),
    types: () => actions.map(({ type }) => type),
    delayMs: () => actions.find((action) => action.type === 'setTimer')?.delayMs ?? Number.NaN,
    syncs: () => actions.filter((action) => action.type === 'sync'),
    state: () => state,
  }
  return run
}

describe('given a stream that is lost (R-16)', () => {
  test.each([
    [0, 2_000],
    [0.5, 12_000],
    [0.999, 21_980],
  ])('when the hub told a window, by chance %d > it comes back after %d ms', (random, delayMs) => {
    const run = connectionOf().open('window w=20000')
    run.random = random
    expect(run.lose(5_000).delayMs()).toBeCloseTo(delayMs)
    expect(run.state().failureCount).toBe(1)
  })

  test('when a heartbeat tells another window > that holds', () => {
    const run = connectionOf().open('window w=20000', 'hb n=1 t=2 w=60000')
    run.random = 0.5
    expect(run.lose(5_000).delayMs()).toBe(32_000)
  })

  test('when the hub told a window of nothing > all the same agents do not come at once', () => {
    const run = connectionOf().open('window w=0')
    run.random = 0.5
    expect(run.lose(5_000).delayMs()).toBe(2_000 + limits.RECONNECT_WINDOW_MS_MIN / 2)
  })

  test('when nobody answers within the window > that is no failure, and the next try is in what is left of it', () => {
    const run = connectionOf().open('window w=20000')
    run.lose(5_000)
    const lostMs = run.nowMs
    run.random = 0.5
    run.refuse(2_000)
    // At least half a second, then half of the 20 s that are left.
    expect([run.state().failureCount, run.delayMs()]).toEqual([1, 500 + 10_000])
    run.refuse(10_500, 0, 'http_503')
    expect(run.state().failureCount).toBe(1)
    expect(run.nowMs - lostMs + run.delayMs()).toBeLessThan(2_000 + 20_000 + limits.SLOT_GRACE_MS)
    // Past it a hub that is not there is away, and the backoff begins.
    run.refuse(20_000)
    expect(run.state().failureCount).toBe(2)
  })

  test('when it asks to wait longer > that holds within the window too', () => {
    const run = connectionOf().open('window w=20000')
    run.lose(5_000)
    run.refuse(2_000, 15_000, 'draining')
    expect(run.delayMs()).toBe(15_000)
  })

  test('when it is refused for another reason > that is a failure', () => {
    const run = connectionOf().open('window w=20000')
    run.lose(5_000)
    run.refuse(2_000, 0, 'unauthorized')
    expect(run.state().failureCount).toBe(2)
  })

  test('when streams are lost again and again > tries become rarer than the window alone would have it', () => {
    const run = connectionOf('sse').open('window w=2000')
    run.random = 0.999
    const delays = Array.from({ length: 10 }, () => {
      const delayMs = run.lose(5_000).delayMs()
      run.step({ type: 'timer' }, delayMs).step({ type: 'opened' })
      return delayMs
    })
    expect(Math.max(...delays)).toBeGreaterThan(50_000)
    expect(Math.max(...delays)).toBeLessThanOrEqual(2_000 + limits.RECONNECT_MS_MAX)
  })
})

describe('given a drain (R-15)', () => {
  const drained = { type: 'ended', end: { reason: 'drained' } } as const
  const drain = (reconnectAfterMs: number): DownlinkEvent => ({ type: 'drain', reconnectAfterMs })

  test('when the hub is not there yet at the slot > that is no failure for a while, and then it is', () => {
    const run = connectionOf().open().frame(drain(7_000), 1_000).step(drained, 60_000)
    expect(run.delayMs()).toBe(7_000)
    let tries = 0
    run.refuse(7_000)
    while (run.state().failureCount === 0) {
      tries += 1
      run.refuse(run.delayMs())
    }
    expect(tries).toBeGreaterThanOrEqual(limits.SLOT_GRACE_MS / 2_500)
    expect(tries).toBeLessThanOrEqual(1 + limits.SLOT_GRACE_MS / limits.RECONNECT_MS_MIN)
  })

  test('when streams are drained again and again, soon > it is not dialled in a tight loop', () => {
    const run = connectionOf().open()
    run.random = 0.999
    const delays = Array.from({ length: 12 }, () => {
      const delayMs = run.frame(drain(0)).step(drained, 2_000).delayMs()
      run.step({ type: 'timer' }, delayMs).step({ type: 'opened' })
      return delayMs
    })
    expect(delays[0]).toBeLessThanOrEqual(limits.RECONNECT_MS_MIN)
    expect(delays.at(-1)).toBeGreaterThan(50_000)
  })

  test('when streams end in order, each too soon > the third time that is a failure, and wake is asked', () => {
    const run = connectionOf().open()
    const ended = { type: 'ended', end: { reason: 'ended' } } as const
    expect(run.frame(PING).step(ended, 20_000).types()).toEqual(['report', 'setTimer'])
    expect(run.open().frame(PING).step(ended, 20_000).types()).toEqual(['report', 'setTimer'])
    expect(run.open().frame(PING).step(ended, 20_000).types()).toEqual(['report', 'setTimer', 'ask'])
    expect(run.delayMs()).toBeGreaterThanOrEqual(limits.PROBE_MS_MIN)
  })
})

describe('given a machine that stood still', () => {
  const resumed = { type: 'resumed' } as const

  test('when a stream is open > it is dialled anew, and a sync comes first', () => {
    const run = connectionOf().open().step(resumed, 3_600_000)
    expect([run.types(), run.state().name]).toEqual([['sync', 'hangUp'], 'open'])
    run.step({ type: 'ended', end: { reason: 'aborted' } })
    expect([run.delayMs(), run.state().failureCount]).toEqual([0, 0])
  })

  test('when it dials > it dials anew, and counts no failure', () => {
    const run = connectionOf().step({ type: 'started' }).step(resumed, 60_000)
    expect(run.types()).toEqual(['sync', 'hangUp'])
    run.step({ type: 'failed', failure: { ...REFUSED, code: 'stood_still' } })
    expect([run.delayMs(), run.state().failureCount]).toEqual([0, 0])
  })

  test('when it waits > it does not wait any longer', () => {
    const run = connectionOf().step({ type: 'started' })
    for (let count = 0; count < 8; count += 1) {
      run.step({ type: 'failed', failure: REFUSED })
      run.step({ type: 'timer' }, 60_000)
    }
    run.random = 0.999
    expect(run.step({ type: 'failed', failure: REFUSED }).delayMs()).toBeGreaterThan(50_000)
    expect(run.step(resumed, 1_000).types()).toEqual(['sync', 'setTimer'])
    expect(run.delayMs()).toBeLessThan(limits.RECONNECT_WINDOW_MS_MIN)
  })

  test('when wake is asked > it is asked anew', () => {
    const run = connectionOf('poll').step({ type: 'started' }).step(resumed, 60_000)
    expect(run.types()).toEqual(['sync', 'endPoll', 'ask'])
  })
})

test('given a sync that many are told of (R-54) > each takes a time within the window', () => {
  const run = connectionOf().open()
  run.random = 0.5
  run.frame({ type: 'sync', reason: 'wake', withinMs: 30_000 })
  expect(run.syncs()).toEqual([{ type: 'sync', reason: 'wake', delayMs: 15_000 }])
})
