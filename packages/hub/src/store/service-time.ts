/** The service time of a store: what earlier openings have served, and the time since this one. */
import type { Clock } from '@downlink/protocol'

/** A counter that starts at `servedMs` now and goes on by the monotonic clock. */
export function createServiceTime(clock: Clock, servedMs: number): () => number {
  const openedAtMs = clock.monotonicMs()
  return () => servedMs + (clock.monotonicMs() - openedAtMs)
}

/** The least epoch that an opening now may have: clocks make a restored backup start above what was lost. */
export function epochFloor(clock: Clock): number {
  return Math.max(1, Math.floor(clock.wallMs()))
}
