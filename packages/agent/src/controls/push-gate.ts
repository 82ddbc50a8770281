/** Keeps back what was pushed before this process stood still: its time to live may be over, and only the hub counts that. */
import { limits, type Clock } from '@downlink/protocol'

/** A moment by both clocks. */
export interface Moment {
  readonly wallMs: number
  readonly monotonicMs: number
}

/**
 * Closes when the time between two frames of a stream is longer than its proof of life allows, by the wall clock or by
 * the monotonic one, which stops while the machine is suspended. Opens with the reply to a sync that began later.
 */
export class PushGate {
  readonly #clock: Clock
  #last: Moment
  #deadlineMs: number = limits.LIVENESS_MS_MIN
  #closedAtSync: number | undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#last = this.now()
  }

  get isOpen(): boolean {
    return this.#closedAtSync === undefined
  }

  now(): Moment {
    return { wallMs: this.#clock.wallMs(), monotonicMs: this.#clock.monotonicMs() }
  }

  /** A stream has opened: the time before it says nothing. */
  streamOpened(): void {
    this.#last = this.now()
  }

  /** A frame came down a stream with heartbeats of that period; `startedSyncs` is the number of the last sync that began. */
  frame(heartbeatMs: number, startedSyncs: number): void {
    this.#deadlineMs = Math.min(
      limits.LIVENESS_MS_MAX,
      Math.max(limits.LIVENESS_MS_MIN, limits.LIVENESS_HEARTBEATS * heartbeatMs),
    )
    if (this.isTooOld(this.#last)) this.#closedAtSync = startedSyncs
    this.#last = this.now()
  }

  /** Whether what came at that moment has waited longer than the proof of life allows. */
  isTooOld(moment: Moment): boolean {
    const now = this.now()
    const gapMs = Math.max(now.wallMs - moment.wallMs, now.monotonicMs - moment.monotonicMs)
    return gapMs > this.#deadlineMs
  }

  /** The sync with that number was answered. */
  syncAnswered(counter: number): void {
    if (this.#closedAtSync !== undefined && counter > this.#closedAtSync) this.#closedAtSync = undefined
  }
}
