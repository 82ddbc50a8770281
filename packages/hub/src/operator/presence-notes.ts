/** Notes the presence of a hub's agents, tells who listens of each change, and looks by itself while somebody needs it. */
import { limits, type Clock, type Timer } from '@downlink/protocol'
import type { AgentMemories } from '../controls/agent-memory.ts'
import { agentLink, type LinkSources } from './read-agent.ts'
import { notePresence } from './presence-log.ts'

/** The presence of all agents that a hub has met. */
export interface PresenceNotes {
  /** Notes the presence of an agent as it is now. */
  note(agentId: string): void
  /** Calls `listener` for every change that is noted; it must not throw. */
  listen(listener: (agentId: string) => void): Disposable
  /**
   * Until it is disposed of, looks at all agents every `PRESENCE_LOOK_MS`, `PRESENCE_LOOKS_PER_TURN` in one turn: nothing
   * else tells of those that fell silent.
   */
  watch(): Disposable
  /** Whose last change was noted at that moment or since, by the wall clock. */
  changedSince(wallMs: number): Iterable<string>
}

/** Makes the notes; nothing runs unless it is watched. */
export function createPresenceNotes(
  sources: LinkSources & { readonly clock: Clock; readonly memories: AgentMemories },
): PresenceNotes {
  const { clock, memories } = sources
  const listeners = new Set<(agentId: string) => void>()
  // After a wall clock was set back, what is noted must not look older than the facts before.
  let latestWallMs = 0
  const note = (agentId: string): void => {
    const memory = memories.peek(agentId)
    if (memory === undefined) return
    const monotonicMs = clock.monotonicMs()
    const link = agentLink(sources, agentId, memory, monotonicMs)
    const wallMs = clock.wallMs()
    latestWallMs = Math.max(latestWallMs, wallMs)
    if (!notePresence(memory, link, { monotonicMs, wallMs })) return
    memory.changeNotedWallMs = latestWallMs
    for (const listener of listeners) listener(agentId)
  }
  return {
    note,
    listen(listener) {
      listeners.add(listener)
      return { [Symbol.dispose]: () => void listeners.delete(listener) }
    },
    watch: () => new PresenceWatch(clock, memories, note),
    *changedSince(wallMs) {
      for (const [agentId, { changeNotedWallMs }] of memories.all()) {
        if (changeNotedWallMs !== undefined && changeNotedWallMs >= wallMs) yield agentId
      }
    },
  }
}

class PresenceWatch implements Disposable {
  readonly #clock: Clock
  readonly #memories: AgentMemories
  readonly #note: (agentId: string) => void
  #timer: Timer

  constructor(clock: Clock, memories: AgentMemories, note: (agentId: string) => void) {
    this.#clock = clock
    this.#memories = memories
    this.#note = note
    this.#timer = this.#rest()
  }

  [Symbol.dispose](): void {
    this.#timer.cancel()
  }

  #rest(): Timer {
    return this.#clock.setTimer(limits.PRESENCE_LOOK_MS, () =>
      this.#look(this.#memories.all()[Symbol.iterator]()),
    )
  }

  #look(agents: Iterator<readonly [agentId: string, memory: { readonly isRevoked: boolean }]>): void {
    for (let looks = 0; looks < limits.PRESENCE_LOOKS_PER_TURN; looks++) {
      const next = agents.next()
      if (next.done === true) {
        this.#timer = this.#rest()
        return
      }
      const [agentId, { isRevoked }] = next.value
      // A revocation is the last that is told of an agent.
      if (!isRevoked) this.#note(agentId)
    }
    this.#timer = this.#clock.setTimer(0, () => this.#look(agents))
  }
}
