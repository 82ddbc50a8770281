/** The sync loop: one sync at a time, nudges coalesced, the hub sets the pace, outcomes at once. */
import {
  DownlinkError,
  HttpError,
  limits,
  type Clock,
  type Random,
  type SyncReply,
  type SyncRequest,
} from '@downlink/protocol'
import { BACKOFF_LIMITS, blockedDelayMs, reconnectDelayMs } from '../downlink/backoff.ts'

/** What the sync loop needs from the rest of the agent. */
export interface SyncLoopOptions {
  readonly clock: Clock
  readonly random: Random
  /** Sends one sync. */
  readonly send: (request: SyncRequest, signal: AbortSignal) => Promise<SyncReply>
  /** Called right before sending, so that it says how things stand then. */
  readonly prepare: () => SyncRequest
  /** Takes in the reply; the next sync waits for it. */
  readonly takeIn: (reply: SyncReply) => Promise<void>
  readonly onFailure: (error: unknown) => void
  readonly onSuccess: () => void
  /** Whether a stream brings the news; the hub's word for it is not enough. */
  readonly isStreaming: () => boolean
}

/** Paces of an original server, which says no `nextSyncMs`, ms. */
const ORIGINAL_PACE_MS = 10_000
const ORIGINAL_WATCHED_MS = 3_000
/** Part of the pace by which each wait is spread, so that a fleet does not sync in step. */
const JITTER = 0.1
/** Shortest wait after a failure, so that nudges cannot turn it into a storm, ms. */
const FAILURE_FLOOR_MS = 200

/** Runs from `run` until its signal aborts. */
export class SyncLoop {
  readonly #options: SyncLoopOptions
  /** Since when, or until when at the latest, a sync is owed. */
  #owedAtMs: number | undefined
  #failures = 0
  /** What the hub asked for by `Retry-After`, and that or the longer wait of the backoff. */
  #askedMs = 0
  #notBeforeMs = 0
  #nextMs = 0
  /** When the next sync is due without a stream, whatever pace the hub set: it may believe that its stream arrives. */
  #nextAloneMs = 0
  #ring: (() => void) | undefined
  readonly #answerListeners = new Set<() => void>()

  constructor(options: SyncLoopOptions) {
    this.#options = options
  }

  /**
   * Asks for a sync: at once, or right after the one under way, which may have missed what this is about; with
   * `delayMs` after it, unless another one comes first.
   */
  want(delayMs = 0): void {
    const atMs = this.#options.clock.monotonicMs() + delayMs
    this.#owedAtMs = Math.min(this.#owedAtMs ?? Number.POSITIVE_INFINITY, atMs)
    this.#ring?.()
  }

  /** Calls `listener` after every sync that was answered and taken in, until disposed of. */
  watchAnswers(listener: () => void): Disposable {
    this.#answerListeners.add(listener)
    return { [Symbol.dispose]: () => void this.#answerListeners.delete(listener) }
  }

  /** A stream opened or ended, so the pace may be another one. */
  paceChanged(): void {
    this.#ring?.()
  }

  /** The hub is back, so what failed before says nothing any more: a sync is due, unless the hub asked to wait. */
  hubIsBack(): void {
    this.#notBeforeMs = this.#askedMs
    this.want()
  }

  /** Syncs until `signal` aborts, then resolves; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    this.want()
    while (!signal.aborted) {
      await this.#wait(signal)
      if (signal.aborted) return
      this.#owedAtMs = undefined
      await this.#once(signal)
    }
  }

  /** One more sync at the end, within `LAST_SYNC_MS_MAX`; resolves to whether it was answered. Call it after `run`. */
  async last(): Promise<boolean> {
    const controller = new AbortController()
    const timer = this.#options.clock.setTimer(limits.LAST_SYNC_MS_MAX, () => controller.abort())
    try {
      return await this.#once(controller.signal)
    } finally {
      timer.cancel()
    }
  }

  async #once(signal: AbortSignal): Promise<boolean> {
    const { clock, random } = this.#options
    try {
      const reply = await this.#options.send(this.#options.prepare(), signal)
      await this.#options.takeIn(reply)
      this.#failures = 0
      this.#notBeforeMs = 0
      this.#askedMs = 0
      const paceMs = reply.nextSyncMs ?? (reply.watching ? ORIGINAL_WATCHED_MS : ORIGINAL_PACE_MS)
      const answeredMs = clock.monotonicMs()
      const spread = 1 + JITTER * (2 * random() - 1)
      this.#nextMs = answeredMs + paceMs * spread
      this.#nextAloneMs = answeredMs + Math.min(paceMs, limits.SYNC_ACTIVE_MS) * spread
      this.#options.onSuccess()
      for (const tell of this.#answerListeners) tell()
      return true
    } catch (error) {
      if (signal.aborted) return false
      this.#failures++
      const nowMs = clock.monotonicMs()
      const askedMs = error instanceof HttpError ? (error.retryAfterMs ?? 0) : 0
      const floorMs = Math.max(FAILURE_FLOOR_MS, askedMs)
      this.#askedMs = nowMs + Math.min(limits.RETRY_MS_MAX, askedMs)
      this.#notBeforeMs =
        nowMs +
        (error instanceof DownlinkError && error.retry === 'never'
          ? blockedDelayMs(BACKOFF_LIMITS, floorMs, random())
          : reconnectDelayMs(this.#failures - 1, BACKOFF_LIMITS, floorMs, random()))
      this.want()
      this.#options.onFailure(error)
      return false
    }
  }

  /** Until a sync is owed and allowed, or due. */
  async #wait(signal: AbortSignal): Promise<void> {
    const { clock, isStreaming } = this.#options
    for (;;) {
      const paceMs = isStreaming() ? this.#nextMs : this.#nextAloneMs
      const wantedMs = Math.min(paceMs, this.#owedAtMs ?? Number.POSITIVE_INFINITY)
      const dueMs = Math.max(wantedMs, this.#notBeforeMs)
      const leftMs = dueMs - clock.monotonicMs()
      if (leftMs <= 0 || signal.aborted) return
      await this.#sleep(leftMs, signal)
    }
  }

  /** Until the time is over, a sync is wanted, or the signal aborts. */
  #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        timer.cancel()
        signal.removeEventListener('abort', wake)
        this.#ring = undefined
        resolve()
      }
      const timer = this.#options.clock.setTimer(delayMs, wake)
      this.#ring = wake
      signal.addEventListener('abort', wake, { once: true })
    })
  }
}
