import { DownlinkError, limits, type DownlinkEvent } from '@downlink/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  initialConnection,
  type ConnectionAction,
  type ConnectionEvent,
  type ConnectionState,
  type DownlinkMode,
} from './connection-state.ts'
import type { StreamEnd } from '../stream/event-stream.ts'
import { connectionStep } from './machine.ts'
import { pollHealth } from './poll-machine.ts'

const ms = fc.oneof(fc.nat(3_000), fc.nat(1_000_000), fc.constant(Number.MAX_SAFE_INTEGER))
const retry = fc.constantFrom('never', 'backoff', 'resync')
const frame: fc.Arbitrary<DownlinkEvent> = fc.oneof(
  fc.constant<DownlinkEvent>({ type: 'ping', comment: 'hb' }),
  fc
    .tuple(fc.nat(100), fc.nat(10_000_000), fc.nat(999_999_999))
    .map(([n, t, w]): DownlinkEvent => ({ type: 'ping', comment: `hb n=${n} t=${t} w=${w}` })),
  ms.map((withinMs): DownlinkEvent => ({ type: 'sync', reason: '', withinMs: Math.min(withinMs, 300_000) })),
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
  fc
    .tuple(frame, fc.integer({ min: -60_000, max: 60_000 }))
    .map(([value, lagMs]): ConnectionEvent => ({ type: 'frame', frame: value, lagMs })),
  fc.constant<ConnectionEvent>({ type: 'resumed' }),
  fc.constant<ConnectionEvent>({ type: 'hubAnswered' }),
  fc.tuple(streamEnd, ms).map(([end, retryMs]): ConnectionEvent => ({ type: 'ended', end, retryMs })),
  fc.tuple(retry, ms).map(([kind, retryAfterMs]): ConnectionEvent => ({
    type: 'failed',
    failure: { code: 'any', message: '', retry: kind },
    retryAfterMs,
  })),
  fc
    .constantFrom('any', 'stream_silent', 'connect_failed', 'draining', 'stood_still')
    .map((code): ConnectionEvent => ({
      type: 'failed',
      failure: { code, message: '', retry: 'backoff' },
    })),
  fc.boolean().map((wake): ConnectionEvent => ({ type: 'pollAnswered', wake })),
  fc.tuple(fc.constantFrom('http_404', 'http_502'), ms).map(([code, retryAfterMs]): ConnectionEvent => ({
    type: 'pollFailed',
    failure: { code, message: '', retry: 'backoff' },
    retryAfterMs,
  })),
  fc.constant<ConnectionEvent>({ type: 'pollTimer' }),
  { weight: 1, arbitrary: fc.constant<ConnectionEvent>({ type: 'stop' }) },
)
const mode = fc.constantFrom<DownlinkMode>('auto', 'sse', 'poll')
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const steps = fc.array(fc.tuple(event, ms, random), { maxLength: 60 })

const NEXT: Readonly<Record<ConnectionState['name'], readonly ConnectionState['name'][]>> = {
  waiting: ['waiting', 'connecting', 'stopped'],
  connecting: ['connecting', 'open', 'waiting', 'stopped'],
  open: ['open', 'waiting', 'stopped'],
  stopped: ['stopped'],
}

/** A sync is answered while the stream, whose last try reached nobody, waits. */
const ANSWERED_AFTER_UNREACHED: [ConnectionEvent, number, number][] = [
  [{ type: 'started' }, 0, 0],
  [{ type: 'failed', failure: { code: 'connect_failed', message: '', retry: 'backoff' } }, 0, 0.9],
  [{ type: 'hubAnswered' }, 0, 0],
]
/** What shows that a hub is back, or that waiting makes no sense any more. */
const BRINGS_FORWARD: ReadonlySet<ConnectionEvent['type']> = new Set([
  'pollAnswered',
  'hubAnswered',
  'resumed',
])

test('given any events > it dials and asks one at a time, waits with bounded timers, and fetches after every opening', () => {
  fc.assert(
    fc.property(mode, steps, (way, sequence) => {
      let state: ConnectionState = initialConnection(way)
      let nowMs = 0
      let isAsking = false
      for (const [happened, passedMs, chance] of sequence) {
        nowMs += passedMs
        const before = state
        const { state: after, actions } = connectionStep(before, happened, { nowMs, random: chance })
        const count = (type: string): number => actions.filter((action) => action.type === type).length
        expect(NEXT[before.name]).toContain(after.name)
        // A dial exactly on the way into `connecting`, and the way into it is from `waiting` only: never two at once.
        expect(count('dial')).toBe(before.name === 'waiting' && after.name === 'connecting' ? 1 : 0)
        // A timer exactly on the way into `waiting`, but that a hub that is back may bring it forward.
        const mayBringForward = BRINGS_FORWARD.has(happened.type) && before.name === 'waiting'
        const timers = before.name !== 'waiting' && after.name === 'waiting' ? 1 : 0
        expect(count('setTimer')).toBe(mayBringForward ? Math.min(1, count('setTimer')) : timers)
        if (before.name === 'connecting' && after.name === 'open') expect(count('sync')).toBe(1)
        const isNews =
          before.name !== after.name ||
          pollHealth(before.poll) !== pollHealth(after.poll) ||
          before.path.report.verdict !== after.path.report.verdict
        expect(count('report')).toBe(isNews ? 1 : 0)
        // One question at a time: an earlier one has been answered, or is ended first.
        if (happened.type === 'pollAnswered' || happened.type === 'pollFailed') isAsking = false
        if (count('endPoll') > 0) isAsking = false
        if (count('ask') > 0) {
          expect([isAsking, count('ask')]).toEqual([false, 1])
          isAsking = true
        }
        if (after.name === 'stopped') expect([after.poll.name, isAsking]).toEqual(['off', false])
        if (way === 'poll') expect(count('dial')).toBe(0)
        if (way === 'sse') expect(count('ask')).toBe(0)
        for (const action of actions) {
          if (action.type !== 'setTimer' && action.type !== 'setPollTimer') continue
          expect(action.delayMs).toBeGreaterThanOrEqual(0)
          expect(action.delayMs).toBeLessThanOrEqual(limits.RETRY_MS_MAX + limits.RECONNECT_MS_MAX)
        }
        state = after
      }
    }),
    { examples: [['auto', ANSWERED_AFTER_UNREACHED]] },
  )
})

test('given a server whose streams and answers are any > dials are not in a tight loop', () => {
  const failure = fc.constantFrom('http_503', 'stream_silent', 'not_an_event_stream')
  const answer = fc.oneof(fc.constant<boolean | undefined>(undefined), fc.boolean())
  fc.assert(
    fc.property(fc.array(fc.tuple(failure, answer, random), { minLength: 20, maxLength: 40 }), (rounds) => {
      let state: ConnectionState = initialConnection('auto')
      const timers = { timer: 0, pollTimer: Number.POSITIVE_INFINITY }
      let nowMs = 0
      let dials = 0
      let asks = 0
      const step = (happened: ConnectionEvent, chance: number): void => {
        const result = connectionStep(state, happened, { nowMs, random: chance })
        state = result.state
        for (const action of result.actions) {
          if (action.type === 'setTimer') timers.timer = nowMs + action.delayMs
          if (action.type === 'setPollTimer') timers.pollTimer = nowMs + action.delayMs
          if (action.type === 'dial') dials += 1
          if (action.type === 'ask') asks += 1
        }
      }
      step({ type: 'started' }, 0)
      // Every try fails at once, every question is answered at once: the worst that a server can do for its pace.
      for (const [code, wake, chance] of rounds) {
        if (state.name === 'connecting') {
          timers.timer = Number.POSITIVE_INFINITY
          step({ type: 'failed', failure: { code, message: '', retry: 'backoff' } }, chance)
        }
        if (state.poll.name === 'asking') {
          timers.pollTimer = Number.POSITIVE_INFINITY
          const failed = { code: 'http_502', message: '', retry: 'backoff' } as const
          step(
            wake === undefined ? { type: 'pollFailed', failure: failed } : { type: 'pollAnswered', wake },
            chance,
          )
        }
        const type = timers.timer <= timers.pollTimer ? 'timer' : 'pollTimer'
        nowMs = Math.max(nowMs, timers[type])
        timers[type] = Number.POSITIVE_INFINITY
        step({ type }, chance)
      }
      // Three tries before the fall-back; from then on a probe apart. Questions at least `WAKE_AGAIN_MS_MIN` apart.
      expect(dials).toBeLessThanOrEqual(4 + nowMs / limits.PROBE_MS_MIN)
      expect(asks).toBeLessThanOrEqual(1 + nowMs / limits.WAKE_AGAIN_MS_MIN)
    }),
  )
})

test('given any events and then a server that answers > every run ends in an open stream', () => {
  fc.assert(
    fc.property(steps, random, (sequence, chance) => {
      let state: ConnectionState = initialConnection('auto')
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

/** What a loop around the machine has under way; it lets only happen what can. */
interface UnderWay {
  attempt: 'none' | 'dialling' | 'open'
  isAsking: boolean
  timer: boolean
  pollTimer: boolean
}

/** Whether `happened` can come about now; what it ends is ended. */
function comesAbout({ type }: ConnectionEvent, under: UnderWay): boolean {
  const was = { ...under }
  if (type === 'timer' || type === 'pollTimer') {
    under[type] = false
    return was[type]
  }
  if (type === 'pollAnswered' || type === 'pollFailed') {
    under.isAsking = false
    return was.isAsking
  }
  if (type === 'opened' || type === 'failed') {
    if (was.attempt === 'dialling') under.attempt = type === 'opened' ? 'open' : 'none'
    return was.attempt === 'dialling'
  }
  if (type === 'ended' && was.attempt === 'open') under.attempt = 'none'
  return type === 'ended' || type === 'frame' ? was.attempt === 'open' : type === 'resumed'
}

/** Does what the machine asks for, and fails if anything would be done twice at once. */
function perform({ type }: ConnectionAction, under: UnderWay): void {
  if (type === 'dial') {
    expect(under.attempt, 'a second stream is dialled').toBe('none')
    under.attempt = 'dialling'
  }
  if (type === 'ask') {
    expect(under.isAsking, 'a second question is asked').toBe(false)
    under.isAsking = true
  }
  if (type === 'setTimer') under.timer = true
  if (type === 'setPollTimer') under.pollTimer = true
  if (type === 'endPoll') {
    under.isAsking = false
    under.pollTimer = false
  }
}

test('given whatever can happen > it is never stuck: a timer, a try or a stream is always under way', () => {
  fc.assert(
    fc.property(
      mode,
      fc.array(fc.tuple(event, ms, random), { minLength: 30, maxLength: 120 }),
      (way, sequence) => {
        const under: UnderWay = { attempt: 'none', isAsking: false, timer: false, pollTimer: false }
        let state: ConnectionState = initialConnection(way)
        let nowMs = 0
        const step = (happened: ConnectionEvent, chance: number): void => {
          const result = connectionStep(state, happened, { nowMs, random: chance })
          state = result.state
          for (const action of result.actions) perform(action, under)
          if (way === 'poll') expect(under.isAsking || under.pollTimer).toBe(true)
          else {
            const isMoving = state.name === 'waiting' ? under.timer : under.attempt !== 'none'
            expect(isMoving, `nothing is under way in the state ${state.name}`).toBe(true)
          }
          const asks = state.poll.name === 'off' || under.isAsking || under.pollTimer
          expect(asks, `nothing is under way while wake is ${state.poll.name}`).toBe(true)
        }
        step({ type: 'started' }, 0)
        for (const [happened, passedMs, chance] of sequence) {
          if (!comesAbout(happened, under)) continue
          nowMs += Math.min(passedMs, 1_000_000)
          step(happened, chance)
        }
      },
    ),
    { numRuns: 300 },
  )
})
