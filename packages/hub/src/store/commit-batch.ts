/** What one commit carries to the place where documents are kept, and what comes back. */
import type { Bucket, HistoryEntry, StoredHistoryEntry } from './store.ts'

/** One document as it is kept. */
export interface StoredDocument {
  /** Grows with every commit of the document; 1 at its first. */
  readonly version: number
  readonly json: string
}

/** Replaces one document, provided that it is still at `expectedVersion` (0: that there is none). */
export interface DocumentWrite {
  readonly bucket: Bucket
  readonly key: string
  readonly expectedVersion: number
  readonly json: string
}

/** A history entry that is kept if, and only if, the write of that index is. */
export interface HistoryWrite extends Omit<HistoryEntry, 'data'> {
  readonly write: number
  readonly json: string
}

/** Everything that becomes durable together. */
export interface CommitBatch {
  readonly writes: readonly DocumentWrite[]
  readonly history: readonly HistoryWrite[]
}

/** Indexes of the writes that were left out because their document was at another version. */
export interface CommitReply {
  readonly conflicts: readonly number[]
}

/** Where documents are kept. Only one commit is under way at a time. */
export interface CommitBackend {
  /** @throws StoreError */
  load(bucket: Bucket, key: string): Promise<StoredDocument | undefined>
  /**
   * Makes a batch durable.
   * @param onSent - called once when the batch is on its way, before which nothing of it can be stored.
   * @throws StoreError `outcome_unknown`, or any other code: nothing of it was stored.
   */
  commit(batch: CommitBatch, onSent: () => void): Promise<CommitReply>
}

/** A history entry as it is kept. */
export interface HistoryRow {
  readonly sequence: number
  /** Empty for what concerns no agent. */
  readonly agentId: string
  readonly atMs: number
  readonly kind: string
  readonly controlId: string | null
  readonly taskId: string | null
  readonly json: string
}

/** The entry that a row keeps. */
export function historyEntryOf(row: HistoryRow): StoredHistoryEntry {
  return {
    sequence: row.sequence,
    ...(row.agentId === '' ? {} : { agentId: row.agentId }),
    atMs: row.atMs,
    kind: row.kind,
    ...(row.controlId === null ? {} : { controlId: row.controlId }),
    ...(row.taskId === null ? {} : { taskId: row.taskId }),
    data: JSON.parse(row.json) as StoredHistoryEntry['data'],
  }
}
