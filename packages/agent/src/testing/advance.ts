/** Lets virtual time pass as real time would: timer by timer, with everything that waits for promises done between. */
import type { TestClock } from './test-clock.ts'

/** Turns of the event loop that what is in memory needs to come to rest: streams hand on a chunk by several. */
const TURNS = 12
/** By default as long as an agent may take to come back by any of its ways, ms. */
const ADVANCE_MS_MAX = 600_000

/**
 * Lets `ms` pass on `clock`, with all that an agent and a test hub on that clock do in that time.
 * `clock.advance` alone would fire all timers before anybody could read a heartbeat.
 */
export async function passTime(clock: TestClock, ms: number): Promise<void> {
  let leftMs = ms
  for (;;) {
    await turn()
    const stepMs = Math.min(leftMs, clock.nextTimerMs ?? leftMs)
    if (leftMs <= 0) return
    clock.advance(stepMs)
    leftMs -= stepMs
  }
}

/**
 * Lets time pass on `clock` until `work` has settled, and returns what it came to; timers fire only while nothing
 * else is left to do.
 * @throws what `work` rejects with; Error after `msMax` of virtual time, or when no timer is left that could help.
 */
export async function advanceUntil<T>(
  clock: TestClock,
  work: PromiseLike<T>,
  msMax: number = ADVANCE_MS_MAX,
): Promise<T> {
  let isSettled = false
  const settled = (): void => void (isSettled = true)
  work.then(settled, settled)
  const endMs = clock.monotonicMs() + msMax
  for (;;) {
    await turn()
    if (isSettled) return work
    const { nextTimerMs } = clock
    if (nextTimerMs === undefined || clock.monotonicMs() + nextTimerMs > endMs) {
      throw new Error(
        nextTimerMs === undefined
          ? 'No timer is set on this clock, so passing time changes nothing. Hand the same clock to hub and agent, and run the agent.'
          : `It has not come to this within ${msMax} ms of virtual time. Look at hub.syncs and hub.controls for how far it came.`,
      )
    }
    clock.advance(nextTimerMs)
  }
}

async function turn(): Promise<void> {
  for (let count = 0; count < TURNS; count++) await new Promise((resolve) => setImmediate(resolve))
}
