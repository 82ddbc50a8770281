/** When the last heartbeats were written, so that the echo of one tells how long it took down and up. */
import { limits, type HeartbeatEcho } from '@downlink/protocol'

/** The heartbeats of one hub; an echo of another's, or one that was made up, tells nothing. */
export class HeartbeatTimes {
  /** By the counter, modulo their number. */
  readonly #written: { readonly counter: number; readonly hubMs: number; readonly atMs: number }[] = []

  /** A heartbeat was written. @param atMs - by the monotonic clock. */
  wrote(counter: number, hubMs: number, atMs: number): void {
    this.#written[counter % limits.HEARTBEATS_REMEMBERED] = { counter, hubMs, atMs }
  }

  /** From its writing to `nowMs`, less the time that the agent had it, ms; undefined if it is not known here. */
  roundTripMs({ counter, hubMs, agoMs }: HeartbeatEcho, nowMs: number): number | undefined {
    const written = this.#written[counter % limits.HEARTBEATS_REMEMBERED]
    if (written?.counter !== counter || written.hubMs !== hubMs) return undefined
    const roundTripMs = nowMs - written.atMs - agoMs
    // The two ends round their clocks.
    return roundTripMs < -1 ? undefined : Math.max(0, Math.round(roundTripMs))
  }
}
