/** Agents whose presence has changed since it was last told: each once, and bounded. Pure. */
import { limits } from '@downlink/protocol'

/** A set that gives up beyond `FEED_PRESENCE_MAX`. */
export class ChangedAgents {
  readonly #ids = new Set<string>()
  #isOverfull = false

  /** How many are to be told. */
  get size(): number {
    return this.#ids.size
  }

  /** Whether there is nothing to tell. */
  get isEmpty(): boolean {
    return this.#ids.size === 0 && !this.#isOverfull
  }

  add(agentId: string): void {
    // Whoever is told that there were too many reads all of them.
    if (this.#isOverfull || this.#ids.has(agentId)) return
    if (this.#ids.size < limits.FEED_PRESENCE_MAX) {
      this.#ids.add(agentId)
      return
    }
    this.#ids.clear()
    this.#isOverfull = true
  }

  clear(): void {
    this.#ids.clear()
    this.#isOverfull = false
  }

  /** Takes the first `count` out, those that changed first. */
  take(count: number): readonly string[] {
    const taken: string[] = []
    for (const agentId of this.#ids) {
      if (taken.length >= count) break
      taken.push(agentId)
    }
    for (const agentId of taken) this.#ids.delete(agentId)
    return taken
  }

  /** Whether there were too many since it was last asked. */
  takeOverflow(): boolean {
    const was = this.#isOverfull
    this.#isOverfull = false
    return was
  }
}
