/** Holds documents in memory: those in use for as long as they are, and the most recently used others within a bound. */

/** What the cache needs to know of its entries. */
export interface CacheEntry extends Links {
  readonly id: string
  /** Size as JSON. */
  bytes: number
  /** Whether it is likely to be used again: only such entries take the places of such. */
  isKept: boolean
}

/** The cache's own: the neighbours of an entry in the order of use, undefined while it is pinned or out of the cache. */
export interface Links {
  older: Links | undefined
  newer: Links | undefined
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
  /** Pinned or not. The order is kept in links: a `Map` that is deleted from and added to at every use is soon rehashed. */
  readonly #entries = new Map<string, E>()
  readonly #kept: IdleDocuments<E>
  readonly #others: IdleDocuments<E>

  constructor(bounds: { readonly kept: CacheBounds; readonly others: CacheBounds }) {
    const evict = (entry: E): void => void this.#entries.delete(entry.id)
    this.#kept = new IdleDocuments<E>(bounds.kept, evict)
    this.#others = new IdleDocuments<E>(bounds.others, evict)
  }

  /** Entries that are not pinned. */
  get idleCount(): number {
    return this.#kept.size + this.#others.size
  }

  /** The entry, which counts as used now. */
  get(id: string): E | undefined {
    const entry = this.#entries.get(id)
    if (entry?.older !== undefined) this.#idleOf(entry).use(entry)
    return entry
  }

  /** Keeps the entry until it is released; its `bytes` may only change while it is pinned. */
  pin(entry: E): void {
    if (!this.#idleOf(entry).delete(entry)) this.#entries.set(entry.id, entry)
  }

  /** Gives the entry, just used, to the bounded part. */
  release(entry: E): void {
    if (entry.older === undefined && this.#entries.get(entry.id) === entry) this.#idleOf(entry).add(entry)
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
    if (this.#entries.get(entry.id) === entry) this.#entries.delete(entry.id)
  }

  #idleOf({ isKept }: E): IdleDocuments<E> {
    return isKept ? this.#kept : this.#others
  }
}

/** The bounded part: a ring in the order of use, whose head stands between the least and the most recent. */
class IdleDocuments<E extends CacheEntry> {
  readonly #bounds: CacheBounds
  readonly #evict: (entry: E) => void
  readonly #head: Links = { older: undefined, newer: undefined }
  #size = 0
  #bytes = 0

  constructor(bounds: CacheBounds, evict: (entry: E) => void) {
    this.#bounds = bounds
    this.#evict = evict
    this.#head.older = this.#head.newer = this.#head
  }

  get size(): number {
    return this.#size
  }

  use(entry: E): void {
    takeOut(entry)
    this.#putNewest(entry)
  }

  /** @returns whether it was here. */
  delete(entry: E): boolean {
    if (entry.older === undefined) return false
    takeOut(entry)
    this.#size--
    this.#bytes -= entry.bytes
    return true
  }

  add(entry: E): void {
    this.#putNewest(entry)
    this.#size++
    this.#bytes += entry.bytes
    while (
      this.#size > 0 &&
      (this.#size > this.#bounds.documentsMax || this.#bytes > this.#bounds.bytesMax)
    ) {
      const oldest = this.#head.newer as E
      this.delete(oldest)
      this.#evict(oldest)
    }
  }

  #putNewest(entry: Links): void {
    link(this.#head.older, entry)
    link(entry, this.#head)
  }
}

function takeOut(entry: Links): void {
  link(entry.older, entry.newer)
  entry.older = entry.newer = undefined
}

function link(older: Links | undefined, newer: Links | undefined): void {
  if (older !== undefined) older.newer = newer
  if (newer !== undefined) newer.older = older
}
