/** Holds documents in memory: those in use for as long as they are, and the most recently used others within a bound. */

/** What the cache needs to know of its entries. */
export interface CacheEntry {
  readonly id: string
  /** Size as JSON. */
  bytes: number
}

/**
 * A least-recently-used cache whose entries can be pinned.
 * Pinned entries do not count: whoever pins bounds them.
 */
export class DocumentCache<E extends CacheEntry> {
  readonly #limits: { readonly documentsMax: number; readonly bytesMax: number }
  readonly #pinned = new Map<string, E>()
  /** In order of use, the least recent first. */
  readonly #idle = new Map<string, E>()
  #idleBytes = 0

  constructor(limits: { documentsMax: number; bytesMax: number }) {
    this.#limits = limits
  }

  /** Entries that are not pinned. */
  get idleCount(): number {
    return this.#idle.size
  }

  /** The entry, which counts as used now. */
  get(id: string): E | undefined {
    const idle = this.#idle.get(id)
    if (idle === undefined) return this.#pinned.get(id)
    this.#idle.delete(id)
    this.#idle.set(id, idle)
    return idle
  }

  /** Keeps the entry until it is released; its `bytes` may only change while it is pinned. */
  pin(entry: E): void {
    if (this.#idle.delete(entry.id)) this.#idleBytes -= entry.bytes
    this.#pinned.set(entry.id, entry)
  }

  /** Gives the entry, just used, to the bounded part. */
  release(entry: E): void {
    if (!this.#pinned.delete(entry.id)) return
    this.#idle.set(entry.id, entry)
    this.#idleBytes += entry.bytes
    for (const oldest of this.#idle.values()) {
      if (this.#idle.size <= this.#limits.documentsMax && this.#idleBytes <= this.#limits.bytesMax) return
      this.#idle.delete(oldest.id)
      this.#idleBytes -= oldest.bytes
    }
  }

  /** Forgets the entry, pinned or not. */
  drop(entry: E): void {
    if (this.#idle.delete(entry.id)) this.#idleBytes -= entry.bytes
    this.#pinned.delete(entry.id)
  }
}
