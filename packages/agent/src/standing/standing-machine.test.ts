import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import {
  INITIAL_STANDING,
  isBlocking,
  standingStep,
  type StandingAction,
  type StandingEvent,
  type StandingState,
} from './standing-machine.ts'

const HOME = 'https://home.example/'
const MIRROR = 'https://mirror.example/'
const CONFIRM_MS = limits.REVOCATION_CONFIRM_MS

type Refusal = Extract<StandingEvent, { type: 'refused' }>

function refused(code: string, status: number, mirror = HOME, call: Refusal['call'] = 'sync'): Refusal {
  return { type: 'refused', code, status, mirror, call }
}
const revoked = (mirror = HOME): Refusal => refused('agent_revoked', 410, mirror)
const accepted = (call: Refusal['call'] = 'sync'): StandingEvent => ({ type: 'accepted', call })

/** Plays events at their times from the beginning. */
function play(
  events: readonly (readonly [number, StandingEvent])[],
  mirrors: readonly string[] = [HOME],
): { readonly state: StandingState; readonly actions: readonly StandingAction[] } {
  let state = INITIAL_STANDING
  let actions: readonly StandingAction[] = []
  for (const [nowMs, event] of events) {
    ;({ state, actions } = standingStep(state, event, { nowMs, mirrors }))
  }
  return { state, actions }
}

describe('given a first word of a revocation', () => {
  test('when nothing more is said > it asks again after the time, elsewhere, and keeps asking', () => {
    expect(play([[0, revoked()]])).toEqual({
      state: { name: 'suspected', code: 'agent_revoked', sinceMs: 0, mirror: HOME },
      actions: [{ type: 'setTimer', delayMs: CONFIRM_MS }],
    })
    const asking = play([
      [0, revoked()],
      [CONFIRM_MS, { type: 'timer' }],
    ])
    expect(asking.actions).toEqual([
      { type: 'askElsewhere', mirror: HOME },
      { type: 'setTimer', delayMs: CONFIRM_MS },
    ])
  })

  test.each([
    ['it is said again too soon', [[CONFIRM_MS - 1, revoked()]], [HOME]],
    ['the same one of two mirrors says it again', [[CONFIRM_MS, revoked()]], [HOME, MIRROR]],
    ['the hub fails meanwhile', [[CONFIRM_MS, refused('internal', 500)]], [HOME]],
    ['a bare 410 follows', [[CONFIRM_MS, refused('http_410', 410)]], [HOME]],
    [
      'the second word comes after an acceptance',
      [
        [10, accepted('events')],
        [CONFIRM_MS, revoked()],
      ],
      [HOME],
    ],
    [
      'the second word comes after another refusal',
      [
        [10, refused('unauthorized', 401)],
        [CONFIRM_MS, revoked()],
      ],
      [HOME],
    ],
  ] satisfies [string, [number, StandingEvent][], string[]][])(
    'when %s > it is not believed',
    (_, events, mirrors) => {
      const { state } = play([[0, revoked()], ...events], mirrors)
      expect(state.name).not.toBe('revoked')
    },
  )

  test.each([
    ['the only mirror says it again', HOME, [HOME]],
    ['another mirror says it', MIRROR, [HOME, MIRROR]],
    ['what said it is no mirror any more', MIRROR, [MIRROR]],
  ])('when %s, late enough > it gives up for good', (_, mirror, mirrors) => {
    const events = [
      [0, revoked()],
      [CONFIRM_MS, revoked(mirror)],
    ] as const
    expect(play(events, mirrors)).toEqual({
      state: { name: 'revoked', code: 'agent_revoked' },
      actions: [{ type: 'giveUp' }],
    })
    const later = play([...events, [CONFIRM_MS + 1, accepted()], [CONFIRM_MS + 2, revoked()]], mirrors)
    expect(later).toEqual({ state: { name: 'revoked', code: 'agent_revoked' }, actions: [] })
  })

  test('when it is another agent’s key > that counts as well', () => {
    const mismatch = refused('agent_key_mismatch', 403)
    const { state } = play([
      [0, mismatch],
      [CONFIRM_MS, mismatch],
    ])
    expect(state).toEqual({ name: 'revoked', code: 'agent_key_mismatch' })
  })
})

describe('given a refusal that is no revocation', () => {
  test.each([
    ['unauthorized', 401, 'unauthorized'],
    ['http_401', 401, 'unauthorized'],
    ['key_retired', 401, 'key_retired'],
    ['agent_revoked', 401, 'unauthorized'],
    ['agent_hash_taken', 409, 'agent_hash_taken'],
    ['http_412', 412, 'agent_version_too_old'],
    ['agent_version_too_old', 400, 'agent_version_too_old'],
    ['agent_limit_reached', 403, 'agent_limit_reached'],
    ['http_413', 413, 'http_413'],
  ])('when it is %s with %i > it stays up as %s', (code, status, shown) => {
    const { state, actions } = play([[0, refused(code, status)]])
    expect(state).toEqual({ name: 'blocked', code: shown, call: 'sync' })
    expect(actions).toEqual(status === 401 ? [{ type: 'readCredential' }] : [])
    expect(isBlocking(status, code)).toBe(true)
  })

  test.each([
    ['http_410', 410],
    ['agent_revoked', 500],
    ['too_many_requests', 429],
    ['redirect_refused', 302],
    ['http_403', 403],
  ])('when it is %s with %i > the standing stays as it was', (code, status) => {
    expect(play([[0, refused(code, status)]]).state).toBe(INITIAL_STANDING)
    const before = play([[0, revoked()]]).state
    expect(standingStep(before, refused(code, status), { nowMs: 9e9, mirrors: [HOME] }).state).toBe(before)
  })

  test('when calls are accepted after it > only that call, or a sync, says that it is over', () => {
    const taken = refused('agent_hash_taken', 409, HOME, 'sync')
    const after = (call: Refusal['call']): string =>
      play([
        [0, taken],
        [1, accepted(call)],
      ]).state.name
    expect([after('events'), after('wake'), after('sync')]).toEqual(['blocked', 'blocked', 'ok'])
    const stream = refused('agent_hash_taken', 409, HOME, 'events')
    expect(
      play([
        [0, stream],
        [1, accepted('events')],
      ]).state.name,
    ).toBe('ok')
  })
})
