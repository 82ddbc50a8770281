import { DownlinkError, limits, type DownlinkEvent } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import type { ConnectionAction, ConnectionEvent, ConnectionState, DownlinkMode } from './connection-state.ts'
import { initialConnection } from './connection-state.ts'
import { connectionStep } from './machine.ts'

const PING: DownlinkEvent = { type: 'ping', comment: 'hb' }
const HB = limits.HEARTBEAT_MS_DEFAULT

/** A connection that is stepped by hand; `types` are the actions of the last step. */
function connectionOf(mode: DownlinkMode, random = 0) {
  let state: ConnectionState = initialConnection(mode)
  let actions: readonly ConnectionAction[] = []
  const run = {
    nowMs: 0,
    step(event: ConnectionEvent, afterMs = 0) {
      run.nowMs += afterMs
      ;({ state, actions } = connectionStep(state, event, { nowMs: run.nowMs, random }))
      return run
    },
    fail(code: string, afterMs = 0) {
      return run.step({ type: 'failed', failure: { code, message: '', retry: 'backoff' } }, afterMs)
    },
    ping(afterMs: number) {
      return run.step({ type: 'frame', frame: PING, heartbeatMs: HB }, afterMs)
    },
    lose(code: string, afterMs: number) {
      const reason = code === 'stream_silent' ? 'silent' : 'lost'
      return run.step({ type: 'ended', end: { reason, error: new DownlinkError(code, '') } }, afterMs)
    },
    fallBack() {
      run.step({ type: 'started' }).fail('stream_silent', 37_500)
      return run.step({ type: 'pollAnswered', wake: false }, 28_000).step({ type: 'pollTimer' })
    },
    types: () => actions.map(({ type }) => type),
    status: () => actions.find((action) => action.type === 'report')?.status,
    delayMs: () => actions.find((action) => action.type === 'setTimer')?.delayMs,
    state: () => state,
  }
  return run
}

describe('given the mode auto', () => {
  test('when the stream fails three times in a row > wake is asked, and the stream probed beside it', () => {
    const run = connectionOf('auto').step({ type: 'started' })
    for (const code of ['http_503', 'not_an_event_stream']) {
      expect(run.fail(code).types()).toEqual(['report', 'setTimer'])
      run.step({ type: 'timer' }, 1_000)
    }
    expect(run.fail('http_503').types()).toEqual(['report', 'setTimer', 'ask'])
    expect([run.delayMs(), run.status()?.poll]).toEqual([limits.PROBE_MS_MIN, 'starting'])
  })

  test('when nobody is reached > there is nobody to ask, and the stream is dialled by its backoff', () => {
    const run = connectionOf('auto', 0.5).step({ type: 'started' })
    for (let count = 0; count < 10; count += 1) {
      expect(run.fail('connect_failed').types()).toEqual(['report', 'setTimer'])
      run.step({ type: 'timer' }, 60_000)
    }
  })

  test('when the path is silent > wake is asked at once', () => {
    const run = connectionOf('auto').step({ type: 'started' }).fail('stream_silent', 37_500)
    expect([run.types(), run.delayMs()]).toEqual([['report', 'setTimer', 'ask'], limits.PROBE_MS_MIN])
  })

  test('when the server says that it has no streams (R-18) > wake is asked at once, and the stream probed now and then', () => {
    for (const code of ['not_supported_here', 'http_501']) {
      const run = connectionOf('auto').step({ type: 'started' })
      run.step({ type: 'failed', failure: { code, message: '', retry: 'never' } })
      expect([run.types(), run.status()?.poll]).toEqual([['report', 'setTimer', 'ask'], 'starting'])
      expect(run.delayMs()).toBeGreaterThanOrEqual(limits.PROBE_MS_MIN)
    }
  })

  test('when a stream that had brought frames falls silent > it is also dialled again at once', () => {
    const run = connectionOf('auto').step({ type: 'started' }).step({ type: 'opened' }).ping(10)
    run.lose('stream_silent', 37_500)
    expect([run.types(), run.delayMs()]).toEqual([['report', 'setTimer', 'ask'], 0])
  })

  test('when probes fail > they become rarer, up to a bound', () => {
    const run = connectionOf('auto').fallBack()
    const delays = [1, 2, 3, 4, 5].map(() => {
      run.step({ type: 'timer' }, 300_000)
      return run.fail('stream_silent', 37_500).delayMs() ?? 0
    })
    expect(delays).toEqual([60_000, 120_000, 240_000, 240_000, 240_000])
    expect(240_000 * 1.25).toBe(limits.PROBE_MS_MAX)
  })

  test('when a probe brings heartbeats on time for three periods > the stream is taken back', () => {
    const run = connectionOf('auto').fallBack().step({ type: 'timer' }, 2_000).step({ type: 'opened' })
    expect(run.ping(10).types(), 'the path is one that streams').toEqual(['report'])
    expect(run.ping(HB).types()).toEqual([])
    expect(run.ping(HB).types()).toEqual([])
    expect(run.ping(HB).types()).toEqual(['report', 'endPoll'])
    expect(run.status()).toMatchObject({ name: 'open', poll: 'off' })
  })

  test('when a path holds heartbeats back and brings them together > it is not', () => {
    const run = connectionOf('auto').fallBack().step({ type: 'timer' }, 2_000).step({ type: 'opened' })
    run.ping(2 * HB)
    for (let count = 0; count < 20; count += 1) {
      expect(run.ping(2 * HB).types()).toEqual([])
      expect(run.ping(0).types()).toEqual([])
    }
  })

  test('when a probed stream brings an event meanwhile > it counts', () => {
    const run = connectionOf('auto').fallBack().step({ type: 'timer' }, 2_000).step({ type: 'opened' })
    expect(run.types()).toEqual(['report', 'sync'])
    run.step({ type: 'frame', frame: { type: 'sync', reason: 'wake' } }, 10)
    expect(run.types()).toEqual(['report', 'sync'])
  })

  test('when a stream was taken back and is lost at once > wake is asked again at once', () => {
    const run = connectionOf('auto').step({ type: 'started' })
    for (let count = 0; count < 3; count += 1) run.fail('http_503').step({ type: 'timer' }, 60_000)
    run.step({ type: 'opened' }).ping(HB).ping(HB).ping(HB)
    expect(run.status()).toMatchObject({ poll: 'off' })
    expect(run.lose('connection_lost', 10).types()).toEqual(['report', 'setTimer', 'ask'])
  })

  test('when a stream has been good for long > what was before is forgotten', () => {
    const run = connectionOf('auto').step({ type: 'started' })
    for (let count = 0; count < 3; count += 1) run.fail('http_503').step({ type: 'timer' }, 60_000)
    run.step({ type: 'opened' }).ping(HB).ping(HB).ping(HB)
    run.ping(limits.STREAM_TRUSTED_MS)
    expect(run.lose('connection_lost', 10).types()).toEqual(['report', 'setTimer'])
    expect(run.state().relapseCount).toBe(0)
  })

  test('when streams that were taken back fail soon > each must prove itself for longer, up to a bound', () => {
    const run = connectionOf('auto').fallBack()
    const needed = Array.from({ length: 7 }, () => {
      run.step({ type: 'timer' }, 300_000).step({ type: 'opened' })
      let count = 0
      while (run.state().poll.name !== 'off') {
        run.ping(HB)
        count += 1
      }
      expect(run.lose('connection_lost', 60_000).types(), 'wake stands in at once').toContain('ask')
      return count
    })
    expect(needed).toEqual([3, 6, 12, 24, 48, 48, 48])
  })

  test('when the hub answers wake after it did not > the stream is tried soon, not a probe later', () => {
    const run = connectionOf('auto').fallBack()
    for (let count = 0; count < 4; count += 1) run.step({ type: 'timer' }, 300_000).fail('http_502', 10)
    run.step({ type: 'pollFailed', failure: { code: 'http_502', message: '', retry: 'backoff' } }, 50_000)
    run.step({ type: 'pollTimer' }).step({ type: 'pollAnswered', wake: false }, 10)
    expect(run.types()).toEqual(['report', 'hubIsBack', 'sync', 'setPollTimer', 'setTimer'])
    expect(run.delayMs()).toBe(0)
  })

  test('when it does so again and again > streams are still dialled a probe apart', () => {
    const run = connectionOf('auto').fallBack().step({ type: 'timer' }, 300_000).fail('http_502', 10)
    run.step({ type: 'pollFailed', failure: { code: 'http_502', message: '', retry: 'backoff' } }, 10)
    run.step({ type: 'pollTimer' }).step({ type: 'pollAnswered', wake: false }, 10)
    expect(run.delayMs()).toBe(limits.PROBE_MS_MIN - 30)
  })

  test('when the last try had reached nobody > the stream is dialled at once: that said nothing against streams', () => {
    const run = connectionOf('auto').fallBack().step({ type: 'timer' }, 300_000).fail('dns_failed', 10)
    run.step({ type: 'pollFailed', failure: { code: 'dns_failed', message: '', retry: 'backoff' } }, 10)
    run.step({ type: 'pollTimer' }).step({ type: 'pollAnswered', wake: false }, 10)
    expect(run.delayMs()).toBe(0)
  })

  test('when nobody was reached and a sync is answered > the stream is dialled at once, whatever wake still waits for', () => {
    const run = connectionOf('auto').fallBack().step({ type: 'timer' }, 300_000).fail('dns_failed', 10)
    expect(run.step({ type: 'hubAnswered' }, 5_000).types()).toEqual(['setTimer'])
    expect(run.delayMs()).toBe(0)
    const alone = connectionOf('sse', 0.5).step({ type: 'started' }).fail('connect_timeout', 10)
    for (let count = 0; count < 6; count += 1)
      alone.step({ type: 'timer' }, 60_000).fail('connect_timeout', 10)
    expect(alone.step({ type: 'hubAnswered' }, 10).delayMs()).toBe(limits.RECONNECT_MS_MIN / 2)
  })

  test('when streams are held back and a sync is answered > they are probed no sooner', () => {
    const run = connectionOf('auto').fallBack().step({ type: 'timer' }, 300_000).fail('stream_silent', 10)
    expect(run.step({ type: 'hubAnswered' }, 5_000).types()).toEqual([])
  })

  test('when the server had asked to stay away > that holds all the same', () => {
    const run = connectionOf('auto').fallBack().step({ type: 'timer' }, 300_000)
    const failure = { code: 'http_503', message: '', retry: 'backoff' } as const
    run.step({ type: 'failed', failure, retryAfterMs: 200_000 }, 10)
    run.step({ type: 'pollFailed', failure }, 60_000)
    run.step({ type: 'pollTimer' }).step({ type: 'pollAnswered', wake: true }, 10)
    expect(run.delayMs()).toBeUndefined()
  })
})

describe('given another mode', () => {
  test('when it is poll > no stream is ever dialled', () => {
    const run = connectionOf('poll').step({ type: 'started' })
    expect([run.types(), run.status()?.poll]).toEqual([['report', 'ask'], 'starting'])
    for (const event of ['timer', 'opened', 'started'] as const)
      expect(run.step({ type: event }).types()).toEqual([])
    run.step({ type: 'pollAnswered', wake: true }, 5)
    expect(run.types()).toEqual(['report', 'hubIsBack', 'sync', 'setPollTimer'])
  })

  test('when it is sse > wake is never asked', () => {
    const run = connectionOf('sse').step({ type: 'started' })
    for (let count = 0; count < 10; count += 1) {
      expect(run.fail('stream_silent', 37_500).types()).toEqual(['report', 'setTimer'])
      run.step({ type: 'timer' }, 60_000)
    }
  })

  test('when it stops > the question under way ends', () => {
    const run = connectionOf('poll').step({ type: 'started' }).step({ type: 'stop' })
    expect([run.types(), run.state().name]).toEqual([['report', 'endPoll'], 'stopped'])
  })
})
