/** What the store and its database thread say to each other; both ends are of one build, so nothing is validated. */
import type { CommitBatch, CommitReply, HistoryRow, StoredDocument } from './commit-batch.ts'
import type { Migration } from './migrations.ts'
import type { FailureCode } from './sqlite-failure.ts'
import type { Bucket, HistoryScope } from './store.ts'

/** How to open the database. */
export interface OpenRequest {
  readonly file: string
  /** Time to wait for another process that has it, ms. */
  readonly busyMs: number
  readonly walBytesMax: number
  /** @defaultValue what SQLite takes */
  readonly checkpointPagesMax?: number
  readonly fileBytesMax?: number
  readonly epoch:
    /** A new opening: raises the epoch, to this value at least. */
    | { readonly atLeast: number }
    /** The thread has ended within an opening: the epoch must be the same, or somebody else has opened the database. */
    | { readonly same: number }
  readonly migrations?: readonly Migration[]
}

/** What an opening finds. */
export interface Opened {
  readonly epoch: number
  readonly serviceMs: number
}

/** Which document. */
export interface DocumentKey {
  readonly bucket: Bucket
  readonly key: string
}

/** Each kind of request, what it carries and what is answered. */
export interface Exchanges {
  commit: { carries: { batch: CommitBatch; serviceMs: number }; answer: CommitReply }
  read: {
    carries: { documents: readonly DocumentKey[] }
    answer: readonly (StoredDocument | undefined)[]
  }
  list: {
    carries: { bucket: Bucket; after: string; limit: number }
    answer: readonly { key: string; json: string }[]
  }
  history: {
    carries: { scope: HistoryScope; after: number; sinceMs: number; limit: number }
    answer: readonly HistoryRow[]
  }
  lastSequence: { carries: object; answer: number }
  prune: { carries: { beforeMs: number; limit: number }; answer: number }
  checkpoint: { carries: object; answer: undefined }
  close: { carries: { serviceMs: number }; answer: undefined }
}

/** A kind of request. */
export type Kind = keyof Exchanges

/** A request, with a number that its answer bears. */
export type Request = { [K in Kind]: { id: number; kind: K } & Exchanges[K]['carries'] }[Kind]

/** An answer, or why there is none. */
export type Reply = (
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly failure: { readonly code: FailureCode; readonly message: string } }
) & {
  /** The thread takes no further request. */
  readonly last: boolean
}

/** The number of the first reply, which tells {@link Opened}. */
export const OPENING_ID = 0
