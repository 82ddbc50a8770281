/** How far the hub's wall clock is ahead of this machine's monotonic one, from what its replies and heartbeats say. */
import type { Heartbeat } from '@downlink/protocol'

/** A clock that steps by less than this, ms, is still believed: both ends round, and drift. */
const DRIFT_MS = 1_000
/** Replies that are looked at: the one that came quickest knows best. */
const REPLIES_KEPT = 8

/** Learns from every reply, and notices in heartbeats that the clock was set back. */
export class HubClock {
  /** By each of the last replies the least that it can be: as if the reply had taken no time. */
  #least: readonly number[] = []
  #heard: Heartbeat | undefined

  /** The least that it can be, ms, so that what is late by it is late indeed; undefined before the first reply. */
  get offsetMs(): number | undefined {
    return this.#least.length === 0 ? undefined : Math.max(...this.#least)
  }

  /** A reply that the hub wrote at `hubMs` of its clock, to a request that was sent at `sentMs` of ours. */
  replied(hubMs: number, sentMs: number, receivedMs: number): void {
    const mostMs = hubMs - sentMs
    // The hub's clock was set back, or another hub answers.
    const isStepped = (this.offsetMs ?? -Infinity) > mostMs + DRIFT_MS
    this.#least = [...(isStepped ? [] : this.#least), hubMs - receivedMs].slice(-REPLIES_KEPT)
  }

  /**
   * A heartbeat was read. Each says when it was written, which no path can change: if it is too early for its number, the
   * hub's clock was set back, and all that were written since would seem to be held back until the next reply.
   */
  heard(heartbeat: Heartbeat, heartbeatMs: number): void {
    const before = this.#heard
    this.#heard = heartbeat
    // A lower number is that of another hub, or of another life of this one.
    if (before === undefined || heartbeat.counter <= before.counter) return
    const dueMs = before.hubMs + (heartbeat.counter - before.counter) * heartbeatMs
    const setBackMs = dueMs - heartbeat.hubMs
    if (setBackMs > DRIFT_MS) this.#least = this.#least.map((leastMs) => leastMs - setBackMs)
  }
}
