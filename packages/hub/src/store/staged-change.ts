/** One update on its way: evaluated on a document, staged on top of others, gathered into a batch, answered. */
import { limits } from '@downlink/protocol'
import type { CommitBatch, DocumentWrite, HistoryWrite } from './commit-batch.ts'
import type { CacheEntry } from './document-cache.ts'
import { documentJson, jsonOf, type JsonParts } from './document-json.ts'
import type { Bucket, Change as StoreChange } from './store.ts'

/** A change of whatever document and result; only the caller of `update` knows the types. */
export type Change = StoreChange<unknown, unknown>

/** One call of `update` that has not been answered. */
export interface Pending {
  readonly change: (document: unknown) => Change
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
  /** Times that somebody else changed the document first. */
  conflicts: number
}

/** Who waits for a document to be read. */
export interface Arrival {
  readonly loaded: (slot: Slot) => void
  readonly failed: (error: unknown) => void
}

/**
 * A document in memory, and what is on its way to it. Thousands come and go while a fleet connects: they are made by a
 * constructor, as V8 soon puts all that long-lived literals hold among the old objects at once, and have no empty arrays.
 */
export class Slot implements CacheEntry {
  readonly id: string
  readonly bucket: Bucket
  readonly key: string
  /** Of the committed document, as `version` and `document` are; an upper bound. */
  bytes = 0
  isKept = false
  older: CacheEntry['older']
  newer: CacheEntry['newer']
  version = 0
  document: unknown
  /** Of its JSON, staged or committed, for the next change. */
  parts: JsonParts | undefined
  /** Undefined once the document was read. */
  arrivals: Arrival[] | undefined = []
  /** Not yet committed, oldest first; each rests on the one before. */
  staged: Staged[] | undefined

  constructor(id: string, bucket: Bucket, key: string) {
    this.id = id
    this.bucket = bucket
    this.key = key
  }
}

/** A document that is to be stored, and everyone whose answer rests on it. */
export interface Staged {
  readonly slot: Slot
  readonly document: unknown
  readonly json: string
  readonly history: readonly Omit<HistoryWrite, 'write'>[]
  readonly bytes: number
  /** The first is of the update that staged it. */
  readonly answers: Answer[]
}

/** What an update is told once its document is durable. */
export interface Answer {
  readonly pending: Pending
  answer(): void
}

type Evaluation =
  | (Answer & { readonly stores: false })
  | (Answer & { readonly stores: true; readonly change: Change })

/** Runs a change on a document. An error of the change stores nothing, and is an answer. */
export function evaluate(pending: Pending, document: unknown): Evaluation {
  try {
    const change = pending.change(document)
    const answer = (): void => pending.resolve(change.result)
    if (change.document !== undefined) return { stores: true, pending, change, answer }
    if (change.history === undefined || change.history.length === 0) return { stores: false, pending, answer }
    throw new TypeError('A change without a document must have no history; return the document as well.')
  } catch (error) {
    return { stores: false, pending, answer: () => pending.reject(error) }
  }
}

/**
 * The document of a change, made ready to be stored on top of what `slot` has.
 * @throws TypeError if it is not JSON.
 */
export function stage(slot: Slot, evaluation: Answer & { readonly change: Change }): Staged {
  const { document, history = [] } = evaluation.change
  const { json, parts } = documentJson(document, slot.parts)
  const rows = history.map(({ data, ...entry }) => ({
    ...entry,
    atMs: Math.trunc(entry.atMs),
    json: jsonOf(data),
  }))
  slot.parts = parts
  const bytes = rows.reduce((sum, row) => sum + Buffer.byteLength(row.json), Buffer.byteLength(json))
  return { slot, document, json, history: rows, bytes, answers: [evaluation] }
}

/** The next batch: from the front of the queue as much as fits, one at least, with one write for each document. */
export function batchOf(queue: readonly Staged[]): {
  batch: CommitBatch
  staged: readonly Staged[]
  /** The document of each write. */
  slots: readonly Slot[]
} {
  let count = 0
  let bytes = 0
  for (const { bytes: more } of queue) {
    if (count === limits.STORE_BATCH_ENTRIES_MAX) break
    if (count > 0 && bytes + more > limits.STORE_BATCH_BYTES_MAX) break
    count++
    bytes += more
  }
  const staged = queue.slice(0, count)
  const indexes = new Map<Slot, number>()
  const writes: DocumentWrite[] = []
  const history: HistoryWrite[] = []
  for (const { slot, json, history: rows } of staged) {
    const write = indexes.get(slot) ?? writes.length
    indexes.set(slot, write)
    writes[write] = { bucket: slot.bucket, key: slot.key, expectedVersion: slot.version, json }
    for (const row of rows) history.push({ ...row, write })
  }
  return { batch: { writes, history }, staged, slots: [...indexes.keys()] }
}

/** Tells everyone who rests on these documents, in order. */
export function answerAll(staged: readonly Staged[]): void {
  for (const { answers } of staged) for (const answer of answers) answer.answer()
}

/** Tells everyone who rests on these documents that they were not stored. */
export function rejectAll(staged: readonly Staged[], error: Error): void {
  for (const { answers } of staged) for (const { pending } of answers) pending.reject(error)
}
