/** Makes group commits out of single updates: evaluates changes on documents in memory, answers once they are durable. */
import { channel } from 'node:diagnostics_channel'
import { limits } from '@downlink/protocol'
import type { CommitBackend } from './commit-batch.ts'
import { DocumentCache } from './document-cache.ts'
import { answerAll, batchOf, evaluate, rejectAll, Slot, stage } from './staged-change.ts'
import type { Arrival, Change as UntypedChange, Pending, Staged } from './staged-change.ts'
import type { WatchedBackend } from './store-health.ts'
import { StoreError } from './store.ts'
import type { Bucket, Change, ReadUse, StoreHealth } from './store.ts'

// For tests that kill the process between the steps of a commit, and for those that count commits.
const COMMIT_SENT = channel('downlink:hub:commit-sent')
const COMMIT = channel('downlink:hub:commit')

/**
 * The documents of a store as its process sees them, committed and on their way.
 *
 * One batch is under way at a time; what arrives meanwhile goes into the next, which is sent before anybody is told of the
 * one before. Several updates of one document are evaluated one on top of the other and need only one write in a batch. When a batch fails, so does everything that rests on
 * it, and those documents are read anew.
 */
export class StagedDocuments {
  readonly #historyListeners = new Set<() => void>()
  readonly #backend: CommitBackend
  readonly #cache = new DocumentCache<Slot>({
    kept: {
      documentsMax: limits.STORE_CACHE_KEPT_DOCUMENTS_MAX,
      bytesMax: limits.STORE_CACHE_KEPT_BYTES_MAX,
    },
    others: { documentsMax: limits.STORE_CACHE_DOCUMENTS_MAX, bytesMax: limits.STORE_CACHE_BYTES_MAX },
  })
  /** Staged and not yet sent, in the order of their evaluation. */
  #queue: Staged[] = []
  #sending = false
  #scheduled = false
  #waiting = 0
  /** Of everything staged, sent or not. */
  #waitingBytes = 0
  #closed = false
  readonly #drained = Promise.withResolvers<void>()

  constructor(backend: CommitBackend) {
    this.#backend = backend
  }

  /** As `Store.read`. */
  async read<D>(bucket: Bucket, key: string, use?: ReadUse): Promise<D | undefined> {
    this.assertOpen()
    const slot = this.#slotOf(bucket, key)
    const { arrivals } = slot
    if (arrivals !== undefined) {
      await new Promise<Slot>((loaded, failed) => void arrivals.push({ loaded, failed }))
    }
    if (use === 'again') this.#cache.keep(slot)
    return slot.document as D | undefined
  }

  /** As `Store.update`. */
  update<D, R>(bucket: Bucket, key: string, change: (document: D | undefined) => Change<D, R>): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.assertOpen()
      this.#assertRoom()
      this.#waiting++
      this.#start(bucket, key, {
        change: change as (document: unknown) => UntypedChange,
        resolve: (result) => {
          resolve(result as R)
          this.#leave()
        },
        reject: (error) => {
          reject(error)
          this.#leave()
        },
        conflicts: 0,
      })
    })
  }

  /** Calls `listener` after each commit that added to history. */
  watchHistory(listener: () => void): Disposable {
    this.#historyListeners.add(listener)
    return { [Symbol.dispose]: () => void this.#historyListeners.delete(listener) }
  }

  /** How `backend` stands; once {@link close} has been called, that the store is closed. */
  healthOf(backend: WatchedBackend): StoreHealth {
    return this.#closed ? { state: 'failing', error: closedError() } : backend.health()
  }

  /** @throws StoreError `store_closed` once {@link close} has been called. */
  assertOpen(): void {
    if (this.#closed) throw closedError()
  }

  /** Refuses what comes from now on, and resolves when every update accepted before has been answered. */
  close(): Promise<void> {
    this.#closed = true
    if (this.#waiting === 0) this.#drained.resolve()
    return this.#drained.promise
  }

  #assertRoom(): void {
    const { STORE_WAITING_UPDATES_MAX, STORE_WAITING_BYTES_MAX } = limits
    if (this.#waiting < STORE_WAITING_UPDATES_MAX && this.#waitingBytes < STORE_WAITING_BYTES_MAX) return
    throw new StoreError(
      'store_unavailable',
      `${this.#waiting} changes (${this.#waitingBytes} bytes) wait for the disk; at most ${STORE_WAITING_UPDATES_MAX} ` +
        `(${STORE_WAITING_BYTES_MAX} bytes) may. Nothing was stored: try again later, and look at how fast the disk syncs.`,
    )
  }

  #leave(): void {
    this.#waiting--
    if (this.#closed && this.#waiting === 0) this.#drained.resolve()
  }

  #start(bucket: Bucket, key: string, pending: Pending): void {
    const slot = this.#slotOf(bucket, key)
    if (slot.arrivals === undefined) this.#take(slot, pending)
    else slot.arrivals.push({ loaded: () => this.#take(slot, pending), failed: pending.reject })
  }

  /** The slot of a document, which is being read if it was not in memory. */
  #slotOf(bucket: Bucket, key: string): Slot {
    const id = idOf(bucket, key)
    const known = this.#cache.get(id)
    if (known !== undefined) return known
    const slot = new Slot(id, bucket, key)
    this.#cache.pin(slot)
    void this.#load(slot)
    return slot
  }

  async #load(slot: Slot): Promise<void> {
    try {
      const stored = await this.#backend.load(slot.bucket, slot.key)
      if (stored !== undefined) {
        slot.document = JSON.parse(stored.json)
        slot.version = stored.version
        slot.bytes = Buffer.byteLength(stored.json)
      }
    } catch (error) {
      this.#cache.drop(slot)
      for (const { failed } of takeArrivals(slot)) failed(error)
      return
    }
    for (const { loaded } of takeArrivals(slot)) loaded(slot)
    if (slot.staged === undefined) this.#cache.release(slot)
  }

  /** Evaluates an update on a loaded document; whatever it decides happens in this turn of the event loop. */
  #take(slot: Slot, pending: Pending): void {
    const onCommitted = evaluate(pending, slot.document)
    if (!onCommitted.stores) return onCommitted.answer()
    const newest = slot.staged?.at(-1)
    const evaluation = newest === undefined ? onCommitted : evaluate(pending, newest.document)
    if (!evaluation.stores) {
      // It rests on a document that may yet fail to be stored.
      newest?.answers.push(evaluation)
      return
    }
    let staged: Staged
    try {
      staged = stage(slot, evaluation)
    } catch (error) {
      // Not JSON. As with an error of the change itself, nothing was staged.
      pending.reject(error)
      return
    }
    this.#cache.pin(slot)
    ;(slot.staged ??= []).push(staged)
    this.#queue.push(staged)
    this.#waitingBytes += staged.bytes
    // The disk may begin while the rest of a large request is still being evaluated.
    if (this.#queue.length >= limits.STORE_BATCH_ENTRIES_MAX) this.#send()
    else this.#schedule()
  }

  /** Sends after this turn's microtasks, so that what one event brings goes into one commit. */
  #schedule(): void {
    if (this.#sending || this.#scheduled || this.#queue.length === 0) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#send()
    })
  }

  #send(): void {
    if (this.#sending || this.#queue.length === 0) return
    const { batch, slots, staged } = batchOf(this.#queue)
    this.#queue = this.#queue.slice(staged.length)
    this.#sending = true
    const onSent = (): void => COMMIT_SENT.publish({ entries: staged.length })
    this.#backend.commit(batch, onSent).then(
      ({ conflicts }) => {
        const conflicting = new Set(conflicts.map((index) => slots[index]))
        this.#committed(
          staged.filter(({ slot }) => !conflicting.has(slot)),
          slots.filter((slot) => !conflicting.has(slot)),
          slots.filter((slot) => conflicting.has(slot)),
        )
      },
      (error: unknown) => this.#failed(staged, slots, error),
    )
  }

  #committed(stored: readonly Staged[], slots: readonly Slot[], conflicting: readonly Slot[]): void {
    this.#sending = false
    for (const slot of slots) slot.version++
    for (const staged of stored) {
      staged.slot.document = staged.document
      staged.slot.bytes = staged.bytes
      staged.slot.staged?.shift()
      this.#waitingBytes -= staged.bytes
    }
    for (const slot of slots) {
      if (slot.staged?.length !== 0) continue
      slot.staged = undefined
      this.#cache.release(slot)
    }
    const changedElsewhere = conflicting.flatMap((slot) => this.#unstage(slot))
    if (stored.length > 0) COMMIT.publish({ entries: stored.length })
    // Before anybody is told: the disk works on the next meanwhile.
    this.#schedule()
    answerAll(stored)
    if (stored.some(({ history }) => history.length > 0)) {
      for (const listener of this.#historyListeners) listener()
    }
    for (const { slot, answers } of changedElsewhere) {
      for (const { pending } of answers) this.#again(slot, pending)
    }
    this.#schedule()
  }

  #again(slot: Slot, pending: Pending): void {
    pending.conflicts++
    if (pending.conflicts <= limits.STORE_CONFLICT_RETRIES_MAX)
      return this.#start(slot.bucket, slot.key, pending)
    pending.reject(
      new StoreError(
        'store_unavailable',
        `The document ${slot.id} was changed by somebody else ${pending.conflicts} times in a row; an update is tried ` +
          `${limits.STORE_CONFLICT_RETRIES_MAX} times more. Nothing was stored: try again.`,
      ),
    )
  }

  #failed(sent: readonly Staged[], slots: readonly Slot[], cause: unknown): void {
    this.#sending = false
    const error =
      cause instanceof StoreError
        ? cause
        : new StoreError(
            'outcome_unknown',
            'A commit ended in an unexpected way; read before you write again.',
            cause,
          )
    const inBatch = new Set(sent)
    const onTop = slots.flatMap((slot) => this.#unstage(slot)).filter((staged) => !inBatch.has(staged))
    rejectAll(sent, error)
    rejectAll(
      onTop,
      error.code === 'outcome_unknown'
        ? new StoreError(
            'store_unavailable',
            'Nothing was stored, because it is not known whether the change before this one was. Try again.',
            error,
          )
        : error,
    )
    this.#schedule()
  }

  /** Takes everything staged off a document, which is then read anew. */
  #unstage(slot: Slot): Staged[] {
    this.#cache.drop(slot)
    const { staged: unstaged = [] } = slot
    slot.staged = undefined
    const gone = new Set(unstaged)
    this.#queue = this.#queue.filter((staged) => !gone.has(staged))
    for (const staged of unstaged) this.#waitingBytes -= staged.bytes
    return unstaged
  }
}

function closedError(): StoreError {
  return new StoreError('store_closed', 'The store is closed; open it again to use it.')
}

function idOf(bucket: Bucket, key: string): string {
  return `${bucket}/${key}`
}

/** Who waits for the document, which was read, or could not be. */
function takeArrivals(slot: Slot): readonly Arrival[] {
  const { arrivals = [] } = slot
  slot.arrivals = undefined
  return arrivals
}
