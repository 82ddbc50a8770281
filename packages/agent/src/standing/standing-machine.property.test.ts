/** Any answers in any order: what it takes until an agent gives up, and that it then does. */
import { limits } from '@downlink/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { INITIAL_STANDING, standingStep, type StandingEvent, type StandingState } from './standing-machine.ts'

const CONFIRM_MS = limits.REVOCATION_CONFIRM_MS
const MIRRORS = ['https://a.example/', 'https://b.example/', 'https://c.example/']

const mirror = fc.constantFrom(...MIRRORS)
const call = fc.constantFrom('events' as const, 'wake' as const, 'sync' as const)
const answer: fc.Arbitrary<StandingEvent> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('refused' as const),
      call,
      mirror,
      status: fc.constantFrom(403, 410),
      code: fc.constantFrom('agent_revoked', 'agent_key_mismatch'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('refused' as const),
      call,
      mirror,
      status: fc.constantFrom(401, 404, 409, 410, 412, 500, 503),
      code: fc.constantFrom(
        'http_410',
        'unauthorized',
        'key_retired',
        'agent_hash_taken',
        'internal',
        'agent_revoked',
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('accepted' as const), call }) },
  { weight: 2, arbitrary: fc.constant({ type: 'timer' as const }) },
)
const history = fc.array(fc.tuple(fc.integer({ min: 0, max: CONFIRM_MS }), answer), { maxLength: 30 })

function isRevocation(event: StandingEvent): event is Extract<StandingEvent, { type: 'refused' }> {
  return (
    event.type === 'refused' &&
    [403, 410].includes(event.status) &&
    ['agent_revoked', 'agent_key_mismatch'].includes(event.code)
  )
}

/** Written anew from the rule: two words, far enough apart, by two mirrors if there are several, and nothing between that contradicts. */
function isConfirmed(
  events: readonly (readonly [number, StandingEvent])[],
  mirrors: readonly string[],
): boolean {
  return events.some(([firstMs, first], from) =>
    events.slice(from + 1).some(([lastMs, last], gap) => {
      if (!isRevocation(first) || !isRevocation(last)) return false
      const between = events.slice(from + 1, from + 1 + gap)
      const isContradicted = between.some(
        ([, event]) => event.type === 'accepted' || (event.type === 'refused' && event.status === 401),
      )
      const isElsewhere = mirrors.length === 1 || first.mirror !== last.mirror
      return lastMs - firstMs >= CONFIRM_MS && isElsewhere && !isContradicted
    }),
  )
}

test('given any answers > no agent gives up without two words that say the same', () => {
  let revokedCount = 0
  fc.assert(
    fc.property(history, fc.integer({ min: 1, max: MIRRORS.length }), (gaps, count) => {
      const mirrors = MIRRORS.slice(0, count)
      let nowMs = 0
      let state: StandingState = INITIAL_STANDING
      const seen: [number, StandingEvent][] = []
      for (const [gapMs, asked] of gaps) {
        nowMs += gapMs
        const event =
          'mirror' in asked && !mirrors.includes(asked.mirror)
            ? { ...asked, mirror: MIRRORS[0] ?? '' }
            : asked
        seen.push([nowMs, event])
        const before = state
        const step = standingStep(state, event, { nowMs, mirrors })
        state = step.state
        const gaveUp = step.actions.some(({ type }) => type === 'giveUp')
        expect(gaveUp).toBe(state.name === 'revoked' && before.name !== 'revoked')
        if (gaveUp) revokedCount += 1
        if (gaveUp) expect(isConfirmed(seen, mirrors), 'a credential is lost for nothing').toBe(true)
        if (before.name !== 'suspected' && state.name === 'suspected') {
          expect(step.actions, 'a suspicion without a timer is never resolved').toContainEqual({
            type: 'setTimer',
            delayMs: CONFIRM_MS,
          })
        }
      }
    }),
    { numRuns: 2_000 },
  )
  expect(revokedCount, 'make revocations likely enough for this to test anything').toBeGreaterThan(20)
})

test('given a fleet that is revoked everywhere > every agent gives up at its second or third asking', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: MIRRORS.length }), history, (count, before) => {
      const mirrors = MIRRORS.slice(0, count)
      let state: StandingState = INITIAL_STANDING
      let nowMs = 0
      for (const [gapMs, event] of before) {
        nowMs += gapMs
        state = standingStep(state, event, { nowMs, mirrors }).state
      }
      let current = 0
      for (let asked = 0; asked < 3 && state.name !== 'revoked'; asked += 1) {
        const refused = {
          type: 'refused',
          call: 'sync',
          status: 410,
          code: 'agent_revoked',
          mirror: mirrors[current] ?? '',
        } as const
        state = standingStep(state, refused, { nowMs, mirrors }).state
        nowMs += CONFIRM_MS
        const { actions } = standingStep(state, { type: 'timer' }, { nowMs, mirrors })
        for (const action of actions) {
          if (action.type === 'askElsewhere' && action.mirror === mirrors[current])
            current = (current + 1) % count
        }
      }
      expect(state.name).toBe('revoked')
    }),
  )
})
