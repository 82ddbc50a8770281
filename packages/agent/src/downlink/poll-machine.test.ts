import { limits } from '@downlink/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { pollHealth, pollStep } from './poll-machine.ts'
import type { PollAction, PollEvent, PollState } from './poll-state.ts'

const FAILURE = { code: 'http_502', message: 'bad gateway', retry: 'backoff' } as const

/** Plays `events`, each `[atMs, event]`; returns what the last step came to. */
function play(events: readonly (readonly [number, PollEvent])[], random = 0.5) {
  let state: PollState = { name: 'off' }
  let actions: readonly PollAction[] = []
  for (const [nowMs, event] of events) ({ state, actions } = pollStep(state, event, { nowMs, random }))
  const timer = actions.find((action) => action.type === 'setPollTimer')
  return {
    state,
    health: pollHealth(state),
    types: actions.map(({ type }) => type),
    delayMs: timer?.delayMs,
  }
}

const started = [0, { type: 'pollStarted' }] as const
const timer = (atMs: number) => [atMs, { type: 'pollTimer' }] as const
const answered = (atMs: number, wake: boolean) => [atMs, { type: 'pollAnswered', wake }] as const
const failed = (atMs: number, code: string = FAILURE.code, retry: 'never' | 'backoff' = 'backoff') =>
  [atMs, { type: 'pollFailed', failure: { ...FAILURE, code, retry } }] as const

describe('given an agent that asks', () => {
  test('when it starts > it asks at once', () => {
    expect(play([started]).types).toEqual(['ask'])
    expect(play([started, started]).types).toEqual([])
  })

  test('when there is something > it fetches', () => {
    expect(play([started, answered(20_000, false), timer(20_000), answered(30_000, true)])).toMatchObject({
      types: ['sync', 'setPollTimer'],
      delayMs: limits.WAKE_AGAIN_MS_MIN,
      health: 'working',
    })
  })

  test('when a question was held and there was nothing > it asks again at once', () => {
    const events = [started, answered(28_000, false), timer(28_000), answered(56_000, false)] as const
    expect(play(events)).toMatchObject({ types: ['setPollTimer'], delayMs: 0 })
  })

  test('when a server holds nothing > it does not ask in a tight loop', () => {
    expect(play([started, answered(5, false)]).delayMs).toBe(limits.WAKE_REST_MS)
  })

  test('when the answer is true again and again > it leaves the sync more and more time, up to a second', () => {
    const events: (readonly [number, PollEvent])[] = [started]
    const delays = [1, 2, 3, 4, 5, 6].map((nowMs) => {
      events.push(answered(nowMs, true))
      const { delayMs } = play(events)
      events.push(timer(nowMs))
      return delayMs
    })
    expect(delays).toEqual([100, 200, 400, 800, 1_000, 1_000])
    events.push(answered(20_000, true))
    expect(play(events).delayMs).toBe(100)
  })
})

describe('given questions that fail', () => {
  test('when they fail in a row > the wait grows, and the first answer says that the hub is back', () => {
    const events = [started, failed(1), timer(2), failed(3), timer(4), failed(5)] as const
    expect(play(events, 0.9)).toMatchObject({ delayMs: 100 + 0.9 * 2_000, health: 'failing' })
    expect(play([...events, timer(6), answered(7, false)])).toMatchObject({
      types: ['hubIsBack', 'sync', 'setPollTimer'],
      health: 'working',
    })
  })

  test('when the next one neither fails nor is answered for a while > it is probably held, and no longer failing', () => {
    const asked = play([started, failed(1), timer(2)])
    expect(asked).toMatchObject({ types: ['ask', 'setPollTimer'], health: 'failing' })
    const held = [started, failed(1), timer(2), timer(2_002)] as const
    expect(play(held)).toMatchObject({ types: [], health: 'starting' })
    expect(play([...held, answered(28_002, false)]).types).toEqual(['hubIsBack', 'sync', 'setPollTimer'])
  })

  test('when the server asks to wait > the wait is not shorter', () => {
    const event = [1, { type: 'pollFailed', failure: FAILURE, retryAfterMs: 9_000 }] as const
    expect(play([started, event], 0).delayMs).toBe(9_000)
  })

  test('when a proxy cuts what is held > it is held again soon, each time', () => {
    const events = [started, failed(20_000), timer(22_000), failed(42_000), timer(44_000), failed(64_000)]
    expect(play(events as never).delayMs).toBe(limits.WAKE_REST_MS)
  })

  test('when what cuts it asks to wait > that holds', () => {
    const event = [20_000, { type: 'pollFailed', failure: FAILURE, retryAfterMs: 9_000 }] as const
    expect(play([started, event], 0).delayMs).toBe(9_000)
  })

  test('when only a person can help > it goes on at the longest pace', () => {
    expect(play([started, failed(1, 'agent_revoked', 'never')], 0).delayMs).toBe(limits.RECONNECT_MS_MAX)
  })

  test.each(['http_404', 'not_found', 'method_not_allowed', 'http_501'])(
    'when the server answers %s > it has no wake, and is asked rarely',
    (code) => {
      const step = play([started, failed(1, code)], 0)
      expect(step).toMatchObject({ health: 'missing', delayMs: limits.PROBE_MS_MAX })
    },
  )
})

test('given an agent that asks no more > the question is ended, and late answers mean nothing', () => {
  const off = [0, { type: 'pollStopped' }] as const
  expect(play([started, off])).toMatchObject({ types: ['endPoll'], health: 'off' })
  for (const late of [answered(1, true), failed(1), timer(1), off]) {
    expect(play([started, off, late])).toMatchObject({ types: [], health: 'off' })
  }
})

test('given any course of answers > never two questions at once, and no tight loop', () => {
  const answer = fc.record({
    tookMs: fc.oneof(fc.nat(50), fc.nat(40_000)),
    event: fc.oneof(
      fc.boolean().map((wake): PollEvent => ({ type: 'pollAnswered', wake })),
      fc
        .tuple(
          fc.constantFrom('http_502', 'http_404', 'timed_out'),
          fc.constantFrom('never', 'backoff'),
          fc.nat(),
        )
        .map(([code, retry, retryAfterMs]): PollEvent => ({
          type: 'pollFailed',
          failure: { code, message: '', retry },
          retryAfterMs,
        })),
    ),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
  })
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 60 }), (answers) => {
      let nowMs = 0
      let step = pollStep({ name: 'off' }, { type: 'pollStarted' }, { nowMs, random: 0 })
      for (const { tookMs, event, random } of answers) {
        expect(step.actions.filter(({ type }) => type === 'ask')).toHaveLength(1)
        // What does not belong to the question under way asks nothing.
        for (const stray of [{ type: 'pollTimer' }, { type: 'pollStarted' }] as const) {
          expect(pollStep(step.state, stray, { nowMs, random }).actions).toEqual([])
        }
        nowMs += tookMs
        step = pollStep(step.state, event, { nowMs, random })
        const timers = step.actions.filter((action) => action.type === 'setPollTimer')
        expect(timers).toHaveLength(1)
        const delayMs = timers[0]?.delayMs ?? Number.NaN
        expect(delayMs).toBeLessThanOrEqual(limits.RETRY_MS_MAX + limits.RECONNECT_MS_MAX)
        // Questions begin at least this far apart, whatever the server answers.
        expect(tookMs + delayMs).toBeGreaterThanOrEqual(limits.WAKE_AGAIN_MS_MIN)
        nowMs += delayMs
        step = pollStep(step.state, { type: 'pollTimer' }, { nowMs, random })
      }
    }),
  )
})
