/** A store that keeps everything in memory and forgets it at the end: for tests, simulations and trying things out. */
import { systemClock, type Clock } from '@downlink/protocol'
import { historyEntryOf } from './commit-batch.ts'
import type { CommitBackend, CommitBatch, CommitReply, HistoryRow, StoredDocument } from './commit-batch.ts'
import type { CommitCounts } from './commit-counts.ts'
import { countCommits } from './count-commits.ts'
import { createServiceTime, epochFloor } from './service-time.ts'
import { watchBackend, type WatchedBackend } from './store-health.ts'
import { StagedDocuments } from './staged-documents.ts'
import { assertScope } from './store.ts'
import type {
  Bucket,
  Change,
  HistoryPageRequest,
  HistoryScope,
  PageRequest,
  ReadUse,
  Store,
  StoredHistoryEntry,
  StoreHealth,
} from './store.ts'

/** Options of {@link createMemoryStore}. */
export interface MemoryStoreOptions {
  /** @defaultValue the clock of this machine */
  readonly clock?: Clock
  /**
   * The epoch of the store.
   * @defaultValue the seconds of the wall clock
   */
  readonly epoch?: number
}

/** A store in memory. It commits in microtasks only, so that a simulation is repeatable. */
export function createMemoryStore(options: MemoryStoreOptions = {}): Store {
  return new MemoryStore(options)
}

class MemoryStore implements Store {
  readonly epoch: number
  readonly serviceMs: () => number
  readonly #rows = new MemoryRows()
  readonly counts: CommitCounts
  readonly #backend: WatchedBackend
  readonly #documents: StagedDocuments

  constructor({ clock = systemClock, epoch }: MemoryStoreOptions) {
    this.epoch = epoch ?? epochFloor(clock)
    this.serviceMs = createServiceTime(clock, 0)
    this.#backend = watchBackend(this.#rows, clock)
    const { backend, counts } = countCommits(this.#backend, clock)
    this.#documents = new StagedDocuments(backend)
    this.counts = counts
  }

  read<D>(bucket: Bucket, key: string, use?: ReadUse): Promise<D | undefined> {
    return this.#documents.read(bucket, key, use)
  }

  update<D, R>(bucket: Bucket, key: string, change: (document: D | undefined) => Change<D, R>): Promise<R> {
    return this.#documents.update(bucket, key, change)
  }

  health(): StoreHealth {
    return this.#documents.healthOf(this.#backend)
  }

  async list<D>(bucket: Bucket, page: PageRequest<string>): Promise<readonly { key: string; document: D }[]> {
    this.#documents.assertOpen()
    return this.#rows.list(bucket, page).map(({ key, json }) => ({ key, document: JSON.parse(json) as D }))
  }

  async readHistory(scope: HistoryScope, page: HistoryPageRequest): Promise<readonly StoredHistoryEntry[]> {
    this.#documents.assertOpen()
    assertScope(scope)
    return this.#rows.history(scope, page).map((row) => historyEntryOf(row))
  }

  async lastHistorySequence(): Promise<number> {
    this.#documents.assertOpen()
    return this.#rows.lastSequence
  }

  watchHistory(listener: () => void): Disposable {
    return this.#documents.watchHistory(listener)
  }

  async pruneHistory(beforeMs: number, limit: number): Promise<number> {
    this.#documents.assertOpen()
    return this.#rows.prune(beforeMs, limit)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#documents.close()
  }
}

/** The tables of the database, as maps. */
class MemoryRows implements CommitBackend {
  readonly #buckets = new Map<Bucket, Map<string, StoredDocument>>()
  #history: HistoryRow[] = []
  lastSequence = 0

  async load(bucket: Bucket, key: string): Promise<StoredDocument | undefined> {
    return this.#buckets.get(bucket)?.get(key)
  }

  async commit(batch: CommitBatch, onSent: () => void): Promise<CommitReply> {
    onSent()
    // A commit takes a while on a disk; at least it must not be done at once here.
    await Promise.resolve()
    // No conflicts: nobody else has these maps.
    for (const { bucket, key, expectedVersion, json } of batch.writes) {
      this.#bucket(bucket).set(key, { version: expectedVersion + 1, json })
    }
    for (const { agentId = '', atMs, kind, controlId = null, taskId = null, json } of batch.history) {
      this.#history.push({ sequence: ++this.lastSequence, agentId, atMs, kind, controlId, taskId, json })
    }
    return { conflicts: [] }
  }

  list(bucket: Bucket, { after, limit }: PageRequest<string>): { key: string; json: string }[] {
    return [...this.#bucket(bucket)]
      .filter(([key]) => after === undefined || key > after)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .slice(0, limit)
      .map(([key, { json }]) => ({ key, json }))
  }

  history({ agentId, controlId }: HistoryScope, page: HistoryPageRequest): HistoryRow[] {
    const { after = 0, sinceMs = -Infinity, limit } = page
    return this.#history
      .filter((row) => row.sequence > after && row.atMs >= sinceMs)
      .filter((row) => agentId === undefined || row.agentId === agentId)
      .filter((row) => controlId === undefined || row.controlId === controlId)
      .slice(0, limit)
  }

  prune(beforeMs: number, limit: number): number {
    const before = this.#history.length
    this.#history = this.#history.filter((row, index) => index >= limit || row.atMs >= beforeMs)
    return before - this.#history.length
  }

  #bucket(bucket: Bucket): Map<string, StoredDocument> {
    const known = this.#buckets.get(bucket)
    if (known !== undefined) return known
    const created = new Map<string, StoredDocument>()
    this.#buckets.set(bucket, created)
    return created
  }
}
