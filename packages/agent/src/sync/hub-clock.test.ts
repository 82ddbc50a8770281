/** What heartbeats tell of the hub's clock between two replies. */
import { expect, test } from 'vitest'
import { HubClock } from './hub-clock.ts'

const PERIOD_MS = 15_000
const AHEAD_MS = 1_000_000

/** A clock that has heard a reply at 0 and one heartbeat, both of a hub that is `AHEAD_MS` ahead. */
function heardOne(): HubClock {
  const clock = new HubClock()
  clock.replied(AHEAD_MS, 0, 0)
  clock.heard({ counter: 7, hubMs: AHEAD_MS + PERIOD_MS }, PERIOD_MS)
  return clock
}

test.each([-7_200_000, -60_000, -2_000])(
  'given a hub whose clock is set by %i ms > the next heartbeat says so, before any reply',
  (stepMs) => {
    const clock = heardOne()
    clock.heard({ counter: 8, hubMs: AHEAD_MS + 2 * PERIOD_MS + stepMs }, PERIOD_MS)
    expect(clock.offsetMs).toBe(AHEAD_MS + stepMs)
    clock.heard({ counter: 10, hubMs: AHEAD_MS + 4 * PERIOD_MS + stepMs }, PERIOD_MS)
    expect(clock.offsetMs, 'it is set once').toBe(AHEAD_MS + stepMs)
    clock.replied(AHEAD_MS + stepMs + 60_000, 60_000, 60_000)
    expect(clock.offsetMs, 'a reply says the same').toBe(AHEAD_MS + stepMs)
  },
)

test.each([
  ['on time', 8, PERIOD_MS],
  ['a little early, behind a late one', 8, PERIOD_MS - 900],
  ['late, as a busy hub writes it', 8, PERIOD_MS + 5_000],
  ['of another life of the hub', 1, -3_600_000],
  ['the same once more', 7, 0],
])('given a heartbeat that is %s > the clock is what it was', (_, counter, laterMs) => {
  const clock = heardOne()
  clock.heard({ counter, hubMs: AHEAD_MS + PERIOD_MS + laterMs }, PERIOD_MS)
  expect(clock.offsetMs).toBe(AHEAD_MS)
})

test('given no reply yet > heartbeats alone say nothing', () => {
  const clock = new HubClock()
  clock.heard({ counter: 1, hubMs: 5 }, PERIOD_MS)
  clock.heard({ counter: 2, hubMs: 5 }, PERIOD_MS)
  expect(clock.offsetMs).toBeUndefined()
})
