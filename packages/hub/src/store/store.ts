/** The one way in which the hub keeps anything: documents changed by pure functions, and a history that only grows. */
import { DownlinkError, type Json } from '@downlink/protocol'
import type { CommitCounts } from './commit-counts.ts'

/** The kinds of document. Each is keyed by one id; nothing spans two documents. */
export const BUCKETS = ['mailboxes', 'agents', 'enrollment-keys', 'operator-tokens'] as const
/** One of {@link BUCKETS}. */
export type Bucket = (typeof BUCKETS)[number]

/** One fact for audit and listing; never changed, dropped by age, never read on a hot path. */
export interface HistoryEntry {
  /** Absent for what concerns no agent, such as an enrollment key. */
  readonly agentId?: string
  /** Milliseconds since the Unix epoch, by the hub's wall clock. */
  readonly atMs: number
  /** What happened, such as `control.created`. */
  readonly kind: string
  readonly controlId?: string
  readonly taskId?: string
  readonly data: Json
}

/** A history entry with its place in the one order of the store. */
export interface StoredHistoryEntry extends HistoryEntry {
  readonly sequence: number
}

/** Which history to read: all of it, one agent's, or one control's. */
export interface HistoryScope {
  readonly agentId?: string
  /** Needs its `agentId` beside it. */
  readonly controlId?: string
}

/** A page of history: at most `limit` entries after the sequence `after`. */
export interface HistoryPageRequest extends PageRequest<number> {
  /** Leaves out what happened before, by the hub's wall clock, ms since the Unix epoch. */
  readonly sinceMs?: number
}

/** That a document is likely to be read or changed again soon: that of an agent which somebody steers, not one that just connects. */
export type ReadUse = 'again'

/** What a pure function makes of a document. Without `document` nothing is stored, and `history` must be empty. */
export interface Change<D, R> {
  readonly document?: D
  readonly history?: readonly HistoryEntry[]
  readonly result: R
}

/** A page to read: at most `limit` entries after `after`. */
export interface PageRequest<C> {
  readonly after?: C
  readonly limit: number
}

/**
 * Keeps documents and history.
 *
 * Documents are values: nobody changes one in place. Two implementations pass one contract suite.
 */
export interface Store extends AsyncDisposable {
  /** Higher than at any earlier opening of this store, so that a restored backup starts above what was lost. */
  readonly epoch: number
  /** What it has done since it was opened, for the metrics of hubs on it. */
  readonly counts: CommitCounts
  /**
   * Milliseconds for which hubs have served from this store, over all its openings; never goes back and does not
   * count down-time. Times to live are measured on it, so that neither a wall clock nor a restart matters.
   */
  serviceMs(): number
  /** The committed document. @param use - what is likely to become of it next; only how long it stays in memory depends on that. */
  read<D>(bucket: Bucket, key: string, use?: ReadUse): Promise<D | undefined>
  /**
   * Changes one document by compare-and-set, and resolves with the function's result once that is durable.
   *
   * `change` is pure and may be called several times: first on the committed document, where a change that stores nothing
   * is answered at once; then on the newest one, which may still be on its way to the disk. A result that rests on
   * such a document waits for it. Documents are JSON: what `JSON.stringify` drops is lost once the document leaves memory.
   * @throws StoreError `outcome_unknown` (nobody can tell), or a code that says that nothing was stored: see {@link StoreErrorCode}.
   * @throws what `change` throws; nothing of it is stored.
   */
  update<D, R>(bucket: Bucket, key: string, change: (document: D | undefined) => Change<D, R>): Promise<R>
  /** How the store stands: at once, without asking the disk. A store that fails tries by itself until it serves again. */
  health(): StoreHealth
  /** Committed documents in the order of their keys (code units; keys are ids, so ASCII). */
  list<D>(bucket: Bucket, page: PageRequest<string>): Promise<readonly { key: string; document: D }[]>
  /** Committed history, oldest first; sequences grow, with gaps. */
  readHistory(scope: HistoryScope, page: HistoryPageRequest): Promise<readonly StoredHistoryEntry[]>
  /** The sequence of the newest committed history entry, 0 if there never was one. */
  lastHistorySequence(): Promise<number>
  /** Calls `listener` after each commit that added to history; later, of any hub on this store. It must not throw. */
  watchHistory(listener: () => void): Disposable
  /**
   * Drops those of the `limit` oldest history entries that are from before `beforeMs`, by the hub's wall clock.
   * @returns how many were dropped; fewer than `limit` means that nothing older is left.
   */
  pruneHistory(beforeMs: number, limit: number): Promise<number>
}

/** @throws TypeError for a control without its agent: no store could find that cheaply. */
export function assertScope({ agentId, controlId }: HistoryScope): void {
  if (controlId === undefined || agentId !== undefined) return
  throw new TypeError('History of a control needs the id of its agent as well; agentOfControl has it.')
}

/** How a store stands. What is committed stays committed in either state. */
export type StoreHealth =
  | { readonly state: 'ok' }
  /** Changes are refused, or wait for long; `error` says why. */
  | { readonly state: 'failing'; readonly error: StoreError }

/**
 * What a store may fail with. With `outcome_unknown` a change may have been stored or not; with any other nothing was:
 * `store_full` (no space is left), `store_failed` (the disk fails), `store_unavailable` (for now), `store_closed`.
 */
export type StoreErrorCode =
  | 'store_unavailable'
  | 'store_full'
  | 'store_failed'
  | 'outcome_unknown'
  | 'store_closed'

/** Why a store could not do what it was asked. */
export class StoreError extends DownlinkError {
  declare readonly code: StoreErrorCode
  constructor(code: StoreErrorCode, message: string, cause?: unknown) {
    super(code, message, { retry: 'backoff', cause })
    this.name = 'StoreError'
  }
}
