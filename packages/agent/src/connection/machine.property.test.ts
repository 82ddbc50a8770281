import { DownlinkError, limits, type DownlinkEvent } from '@downlink/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StreamEnd } from './event-stream.ts'
import { connectionStep, INITIAL_CONNECTION, type ConnectionEvent, type ConnectionState } from './machine.ts'

const ms = fc.oneof(fc.nat(3_000), fc.nat(1_000_000), fc.constant(Number.MAX_SAFE_INTEGER))
const retry = fc.constantFrom('never', 'backoff', 'resync')
const frame: fc.Arbitrary<DownlinkEvent> = fc.oneof(
  fc.constant<DownlinkEvent>({ type: 'ping', comment: 'hb' }),
  fc.constant<DownlinkEvent>({ type: 'sync', reason: '' }),
  fc.constant<DownlinkEvent>({ type: 'command', controls: [] }),
  ms.map((reconnectAfterMs): DownlinkEvent => ({ type: 'drain', reconnectAfterMs })),
)
const streamEnd: fc.Arbitrary<StreamEnd> = fc.oneof(
  fc.constantFrom('closed', 'aborted', 'ended', 'drained').map((reason): StreamEnd => ({ reason })),
  fc
    .tuple(fc.constantFrom('lost', 'silent', 'limit', 'revoked'), retry)
    .map(([reason, kind]): StreamEnd => ({ reason, error: new DownlinkError('any', '', { retry: kind }) })),
)
const event: fc.Arbitrary<ConnectionEvent> = fc.oneof(
  fc.constantFrom<ConnectionEvent>({ type: 'started' }, { type: 'opened' }, { type: 'timer' }),
  frame.map((value): ConnectionEvent => ({ type: 'frame', frame: value })),
  fc.tuple(streamEnd, ms).map(([end, retryMs]): ConnectionEvent => ({ type: 'ended', end, retryMs })),
  fc.tuple(retry, ms).map(([kind, retryAfterMs]): ConnectionEvent => ({
    type: 'failed',
    failure: { code: 'any', message: '', retry: kind },
    retryAfterMs,
  })),
  { weight: 1, arbitrary: fc.constant<ConnectionEvent>({ type: 'stop' }) },
)
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const steps = fc.array(fc.tuple(event, ms, random), { maxLength: 60 })

const NEXT: Readonly<Record<ConnectionState['name'], readonly ConnectionState['name'][]>> = {
  waiting: ['waiting', 'connecting', 'stopped'],
  connecting: ['connecting', 'open', 'waiting', 'stopped'],
  open: ['open', 'waiting', 'stopped'],
  stopped: ['stopped'],
}

test('given any events > it dials only when it waits, waits with one bounded timer, and fetches after every opening', () => {
  fc.assert(
    fc.property(steps, (sequence) => {
      let state: ConnectionState = INITIAL_CONNECTION
      let nowMs = 0
      for (const [happened, passedMs, chance] of sequence) {
        nowMs += passedMs
        const before = state
        const { state: after, actions } = connectionStep(before, happened, { nowMs, random: chance })
        const count = (type: string): number => actions.filter((action) => action.type === type).length
        expect(NEXT[before.name]).toContain(after.name)
        // A dial exactly on the way into `connecting`, and the way into it is from `waiting` only: never two at once.
        expect(count('dial')).toBe(before.name === 'waiting' && after.name === 'connecting' ? 1 : 0)
        expect(count('setTimer')).toBe(before.name !== 'waiting' && after.name === 'waiting' ? 1 : 0)
        if (before.name === 'connecting' && after.name === 'open') expect(count('sync')).toBe(1)
        expect(count('report')).toBe(before.name === after.name ? 0 : 1)
        for (const action of actions) {
          if (action.type !== 'setTimer') continue
          expect(action.delayMs).toBeGreaterThanOrEqual(0)
          expect(action.delayMs).toBeLessThanOrEqual(limits.RETRY_MS_MAX + limits.RECONNECT_MS_MAX)
        }
        state = after
      }
    }),
  )
})

test('given any events and then a server that answers > every run ends in an open stream', () => {
  fc.assert(
    fc.property(steps, random, (sequence, chance) => {
      let state: ConnectionState = INITIAL_CONNECTION
      for (const [happened, nowMs] of sequence) {
        if (happened.type === 'stop') continue
        state = connectionStep(state, happened, { nowMs, random: chance }).state
      }
      for (const type of ['timer', 'opened'] as const) {
        state = connectionStep(state, { type }, { nowMs: 0, random: chance }).state
      }
      expect(state.name).toBe('open')
    }),
  )
})
