/** The time of one run: its limit, which stands still with the task, and how long it takes to end once it was told to. */
import { limits, type Clock, type Timer } from '@downlink/protocol'

/** What is watched for. */
export interface RunWatchOptions {
  readonly clock: Clock
  /** Longest that the run may take without its pauses, ms; undefined for no limit. */
  readonly limitMs: number | undefined
  readonly onTimeUp: () => void
  /** It was told to end `UNRESPONSIVE_MS` ago and has not. */
  readonly onUnresponsive: () => void
}

/** Begins to count when it is made. Every method may be called in any state. */
export class RunWatch {
  readonly #options: RunWatchOptions
  #leftMs: number | undefined
  #sinceMs = 0
  #limit: Timer | undefined
  #grace: Timer | undefined
  #isOver = false

  constructor(options: RunWatchOptions) {
    this.#options = options
    this.#leftMs = options.limitMs
    this.resumed()
  }

  paused(): void {
    if (this.#limit === undefined || this.#leftMs === undefined) return
    this.#limit.cancel()
    this.#limit = undefined
    this.#leftMs -= this.#options.clock.monotonicMs() - this.#sinceMs
  }

  resumed(): void {
    if (this.#isOver || this.#leftMs === undefined || this.#limit !== undefined) return
    const { clock, onTimeUp } = this.#options
    this.#sinceMs = clock.monotonicMs()
    this.#limit = clock.setTimer(Math.max(0, this.#leftMs), () => {
      this.#leftMs = undefined
      onTimeUp()
    })
  }

  /** From here on only its end counts. */
  toldToEnd(): void {
    this.#limit?.cancel()
    this.#leftMs = undefined
    if (this.#isOver || this.#grace !== undefined) return
    this.#grace = this.#options.clock.setTimer(limits.UNRESPONSIVE_MS, this.#options.onUnresponsive)
  }

  /** The run has ended, or the agent stops and waits for it by itself. */
  over(): void {
    this.#isOver = true
    this.#limit?.cancel()
    this.#grace?.cancel()
  }
}
