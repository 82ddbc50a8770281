/** Holds documents in memory: those in use for as long as they are, and the most recently used others within a bound. */

/** What the cache needs to know of its entries. */
export interface CacheEntry {
  readonly id: string
  /** Size as JSON. */
  bytes: number
  /** Whether it is likely to be used again: only such entries take the places of such. */
  isKept: boolean
}

/** How many entries there may be, and bytes of them. */
export interface CacheBounds {
  readonly documentsMax: number
  readonly bytesMax: number
}

/**
 * A least-recently-used cache whose entries can be pinned. Entries that are likely to be used again have a part of their own,
 * or a fleet that connects would push them out.
 * Pinned entries do not count: whoever pins bounds them.
 */
export class DocumentCache<E extends CacheEntry> {
  readonly #pinned = new Map<string, E>()
  readonly #kept: IdleDocuments<E>
  readonly #others: IdleDocuments<E>

  constructor(bounds: { readonly kept: CacheBounds; readonly others: CacheBounds }) {
    this.#kept = new IdleDocuments(bounds.kept)
    this.#others = new IdleDocuments(bounds.others)
  }

  /** Entries that are not pinned. */
  get idleCount(): number {
    return this.#kept.size + this.#others.size
  }

  /** The entry, which counts as used now. */
  get(id: string): E | undefined {
    return this.#kept.use(id) ?? this.#others.use(id) ?? this.#pinned.get(id)
  }

  /** Keeps the entry until it is released; its `bytes` may only change while it is pinned. */
  pin(entry: E): void {
    this.#idleOf(entry).delete(entry)
    this.#pinned.set(entry.id, entry)
  }

  /** Gives the entry, just used, to the bounded part. */
  release(entry: E): void {
    if (this.#pinned.delete(entry.id)) this.#idleOf(entry).add(entry)
  }

  /** Counts the entry, pinned or not, among those that are likely to be used again. */
  keep(entry: E): void {
    if (entry.isKept) return
    const isIdle = this.#others.delete(entry)
    entry.isKept = true
    if (isIdle) this.#kept.add(entry)
  }

  /** Forgets the entry, pinned or not. */
  drop(entry: E): void {
    this.#idleOf(entry).delete(entry)
    this.#pinned.delete(entry.id)
  }

  #idleOf({ isKept }: E): IdleDocuments<E> {
    return isKept ? this.#kept : this.#others
  }
}

class IdleDocuments<E extends CacheEntry> {
  readonly #bounds: CacheBounds
  /** In order of use, the least recent first. */
  readonly #entries = new Map<string, E>()
  #bytes = 0

  constructor(bounds: CacheBounds) {
    this.#bounds = bounds
  }

  get size(): number {
    return this.#entries.size
  }

  use(id: string): E | undefined {
    const entry = this.#entries.get(id)
    if (entry === undefined) return undefined
    this.#entries.delete(id)
    this.#entries.set(id, entry)
    return entry
  }

  delete(entry: E): boolean {
    if (!this.#entries.delete(entry.id)) return false
    this.#bytes -= entry.bytes
    return true
  }

  add(entry: E): void {
    this.#entries.set(entry.id, entry)
    this.#bytes += entry.bytes
    for (const oldest of this.#entries.values()) {
      if (this.#entries.size <= this.#bounds.documentsMax && this.#bytes <= this.#bounds.bytesMax) return
      this.delete(oldest)
    }
  }
}
