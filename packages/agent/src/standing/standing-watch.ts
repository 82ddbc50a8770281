/** Follows an agent's standing: does what the standing machine decides about the answers of its hubs. */
import type { Clock, Timer } from '@downlink/protocol'
import type { HubAnswer } from './hub-answer.ts'
import {
  INITIAL_STANDING,
  standingStep,
  type StandingAction,
  type StandingEvent,
  type StandingState,
} from './standing-machine.ts'

/** What the watch needs, and whom it tells. */
export interface StandingWatchOptions {
  readonly clock: Clock
  readonly mirrors: () => readonly URL[]
  readonly onChange: (state: StandingState) => void
  /** Sync now, at another mirror than this if there is one. */
  readonly onAskElsewhere: (mirror: string) => void
  readonly onReadCredential: () => void
}

/** One per run of an agent. */
export class StandingWatch {
  readonly #options: StandingWatchOptions
  readonly #revoked = new AbortController()
  #state: StandingState = INITIAL_STANDING
  #timer: Timer | undefined
  #isStopped = false

  constructor(options: StandingWatchOptions) {
    this.#options = options
  }

  /** Aborts once a revocation is confirmed. */
  get revoked(): AbortSignal {
    return this.#revoked.signal
  }

  answered({ call, mirror, refusal }: HubAnswer): void {
    if (refusal === undefined) return this.#happen({ type: 'accepted', call })
    const { status, code } = refusal
    this.#happen({ type: 'refused', call, status, code, mirror: mirror.href })
  }

  /** Answers change nothing from now on. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #happen(event: StandingEvent): void {
    if (this.#isStopped) return
    const { clock, mirrors, onChange } = this.#options
    const before = this.#state
    const { state, actions } = standingStep(before, event, {
      nowMs: clock.monotonicMs(),
      mirrors: mirrors().map((mirror) => mirror.href),
    })
    this.#state = state
    if (state.name !== 'suspected') this.#timer?.cancel()
    if (state !== before) onChange(state)
    for (const action of actions) this.#act(action)
  }

  #act(action: StandingAction): void {
    switch (action.type) {
      case 'setTimer':
        this.#timer?.cancel()
        this.#timer = this.#options.clock.setTimer(action.delayMs, () => this.#happen({ type: 'timer' }))
        return
      case 'askElsewhere':
        return this.#options.onAskElsewhere(action.mirror)
      case 'readCredential':
        return this.#options.onReadCredential()
      case 'giveUp':
        return this.#revoked.abort()
    }
  }
}
