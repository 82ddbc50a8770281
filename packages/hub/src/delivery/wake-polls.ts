/** The long-polls that are held open: at most one per agent, each answered once. */
import { limits, type Boot, type Clock, type Timer } from '@downlink/protocol'
import type { AgentMemories } from '../controls/agent-memory.ts'
import type { MailboxChanges } from '../controls/mailbox-changes.ts'
import { HubError } from '../hub-error.ts'
import type { DeliveryCounts } from './delivery-counts.ts'
import { decideWake } from './wake-decision.ts'

/** How a poll ends: with an answer, with a refusal, or (`gone`) because nobody waits for it any more. */
export type WakeEnd =
  | { readonly kind: 'wake'; readonly wake: boolean }
  | { readonly kind: 'refused'; readonly error: HubError }
  | { readonly kind: 'gone' }

/** A poll that is held. */
export interface HeldPoll {
  readonly ended: Promise<WakeEnd>
  /** Looks whether there is something to fetch, now that the committed mailbox is at least of this version. */
  take(version: number): void
  end(end: WakeEnd): void
}

/** The polls of one hub. */
export interface WakePolls extends Disposable {
  readonly size: number
  isHeld(agentId: string): boolean
  /**
   * Holds a poll until there is something to fetch or the time is up. The one that it replaces is answered
   * `{"wake": false}`; or the new one is, if it is known to be the older.
   * @throws HubError `too_many_waiters`.
   */
  hold(agentId: string, boot: Boot | undefined): HeldPoll
  /** A sync was answered, or could not be: looks again whether it showed everything. */
  recheck(agentId: string): void
  /** Wakes the agent whatever there is to fetch, now or with its next poll; whether a poll was held. */
  nudge(agentId: string): boolean
  /** Ends the agent's poll, if there is one. */
  end(agentId: string, end: WakeEnd): void
  /** The agents whose polls are held. */
  agentIds(): readonly string[]
  /** Answers the agent's poll, if there is one, as if its time were up: the hub stops. */
  release(agentId: string): void
}

/** What polls need. */
export interface WakePollsOptions {
  readonly clock: Clock
  readonly holdMs: number
  readonly memories: AgentMemories
  readonly changes: MailboxChanges
  readonly counts: DeliveryCounts
}

/** Listens to changes from now on, until disposed of. */
export function createWakePolls(options: WakePollsOptions): WakePolls {
  const polls = new Map<string, TimedPoll>()
  const listener = options.changes.listen(({ agentId, mailbox, isOfSync }) => {
    // What a sync itself changed goes out with its reply; once that is sent the polls are looked at again.
    polls.get(agentId)?.take(mailbox.version, isOfSync)
  })
  return {
    get size() {
      return polls.size
    },
    isHeld: (agentId) => polls.has(agentId),
    hold(agentId, boot) {
      const present = polls.get(agentId)
      if (present === undefined && polls.size >= limits.WAKE_POLLS_MAX) {
        throw new HubError(
          'too_many_waiters',
          `${limits.WAKE_POLLS_MAX} agents already wait at this hub. Ask again shortly, or use a stream.`,
        )
      }
      const poll = new TimedPoll(options, agentId, boot, () => {
        if (polls.get(agentId) === poll) polls.delete(agentId)
      })
      if (present !== undefined && isOlder(boot, present.boot)) {
        poll.end(NOTHING)
        return poll
      }
      polls.set(agentId, poll)
      present?.end(NOTHING)
      return poll
    },
    recheck: (agentId) => polls.get(agentId)?.take(0),
    nudge(agentId) {
      options.memories.of(agentId).isNudged = true
      const poll = polls.get(agentId)
      poll?.take(0)
      return poll !== undefined
    },
    end: (agentId, end) => polls.get(agentId)?.end(end),
    agentIds: () => [...polls.keys()],
    release: (agentId) => polls.get(agentId)?.end(NOTHING),
    [Symbol.dispose]() {
      listener[Symbol.dispose]()
      for (const poll of polls.values()) poll.end({ kind: 'gone' })
    },
  }
}

const NOTHING: WakeEnd = { kind: 'wake', wake: false }

/** Only within one boot can a poll that arrives later be known to be older: a proxy held it back. */
function isOlder(arrived: Boot | undefined, present: Boot | undefined): boolean {
  return (
    arrived !== undefined &&
    present?.bootNonce === arrived.bootNonce &&
    present.connectCounter > arrived.connectCounter
  )
}

class TimedPoll implements HeldPoll {
  readonly ended: Promise<WakeEnd>
  readonly boot: Boot | undefined
  readonly #options: WakePollsOptions
  readonly #agentId: string
  readonly #onEnd: (end: WakeEnd) => void
  readonly #holdTimer: Timer
  #wakeTimer: Timer | undefined
  #version = 0
  #isEnded = false

  constructor(options: WakePollsOptions, agentId: string, boot: Boot | undefined, onEnd: () => void) {
    const { promise, resolve } = Promise.withResolvers<WakeEnd>()
    this.ended = promise
    this.boot = boot
    this.#options = options
    this.#agentId = agentId
    this.#onEnd = (end) => {
      onEnd()
      resolve(end)
    }
    this.#holdTimer = options.clock.setTimer(options.holdMs, () => this.end(NOTHING))
  }

  take(version: number, isOfSync = false): void {
    this.#version = Math.max(this.#version, version)
    if (this.#isEnded || isOfSync) return
    const { clock, memories } = this.#options
    const { repliedVersion, isNudged, lastWakeMs } = memories.of(this.#agentId)
    const wakeInMs = decideWake({
      version: this.#version,
      repliedVersion,
      isNudged,
      isOriginal: this.boot === undefined,
      lastWakeMs,
      nowMs: clock.monotonicMs(),
    })
    this.#wakeTimer?.cancel()
    this.#wakeTimer = undefined
    if (wakeInMs === undefined) return
    if (wakeInMs > 0) this.#wakeTimer = clock.setTimer(wakeInMs, () => this.take(0))
    else this.end({ kind: 'wake', wake: true })
  }

  end(end: WakeEnd): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#holdTimer.cancel()
    this.#wakeTimer?.cancel()
    if (end.kind === 'wake' && !end.wake) this.#options.counts.pollsUnwoken++
    if (end.kind === 'wake' && end.wake) {
      this.#options.counts.pollsWoken++
      this.#options.memories.of(this.#agentId).lastWakeMs = this.#options.clock.monotonicMs()
    }
    this.#onEnd(end)
  }
}
