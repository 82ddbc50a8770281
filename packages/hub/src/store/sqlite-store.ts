/** The store on an embedded SQLite database: what the hub keeps, in one file of its data directory. */
import { limits, systemClock } from '@downlink/protocol'
import type { Clock, Timer } from '@downlink/protocol'
import { historyEntryOf } from './commit-batch.ts'
import type { CommitCounts } from './commit-counts.ts'
import { countCommits } from './count-commits.ts'
import { gatherReads } from './gather-reads.ts'
import { createServiceTime, epochFloor } from './service-time.ts'
import { connectSqlite } from './sqlite-connection.ts'
import type { SqliteConnection } from './sqlite-connection.ts'
import type { Opened } from './sqlite-protocol.ts'
import { StagedDocuments } from './staged-documents.ts'
import { watchBackend, type WatchedBackend } from './store-health.ts'
import { assertScope, type StoreError } from './store.ts'
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

/** Options of {@link openSqliteStore}. */
export interface SqliteStoreOptions {
  /** Path of the database. It is created, for its owner only, in a directory that exists. */
  readonly file: string
  /** @defaultValue the clock of this machine */
  readonly clock?: Clock
  /**
   * Bytes to which the database may grow, its log apart; past it updates are refused `store_full`.
   * @defaultValue what the disk holds
   */
  readonly fileBytesMax?: number
  /** Told of what the store gets over by itself. */
  readonly logger?: { warn(fields: object, message: string): void }
}

/**
 * Opens the store, creating or upgrading the database as needed.
 *
 * The file is locked until the store is disposed of or the process ends: one hub per data directory. SQL runs in a thread of
 * its own, and updates that arrive together share one commit (WAL, `synchronous=FULL`).
 * After a failure of the disk the database is closed and opened anew, again and again with a pause between, until the disk
 * takes a commit; until then whatever needs the disk is refused.
 * @throws StoreError `store_unavailable`: in use, of another program, or written by a newer Downlink; `store_full`, `store_failed`.
 */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const { file, clock = systemClock, fileBytesMax, logger } = options
  const { connection, opened } = await connectSqlite(
    {
      file,
      busyMs: limits.STORE_BUSY_MS_MAX,
      walBytesMax: limits.STORE_WAL_BYTES_MAX,
      checkpointPagesMax: limits.STORE_CHECKPOINT_PAGES_MAX,
      ...(fileBytesMax === undefined ? {} : { fileBytesMax }),
      epoch: { atLeast: epochFloor(clock) },
    },
    clock,
    () => logger?.warn({ file }, 'The database thread had ended; it is started again.'),
  )
  return new SqliteStore({ ...options, clock }, connection, opened)
}

type ClockedOptions = SqliteStoreOptions & { readonly clock: Clock }

class SqliteStore implements Store {
  readonly epoch: number
  readonly counts: CommitCounts
  readonly serviceMs: () => number
  readonly #options: ClockedOptions
  readonly #connection: SqliteConnection
  readonly #backend: WatchedBackend
  readonly #documents: StagedDocuments
  #recordTimer: Timer
  #recordedAtMs: number
  #commitsUnderWay = 0
  /** Since what was committed was last copied into the database. */
  #isLogUsed = false
  #isFailing = false
  #closing: Promise<void> | undefined

  constructor(options: ClockedOptions, connection: SqliteConnection, opened: Opened) {
    this.epoch = opened.epoch
    this.serviceMs = createServiceTime(options.clock, opened.serviceMs)
    this.#options = options
    this.#connection = connection
    this.#backend = watchBackend(
      {
        load: gatherReads((documents) => connection.request('read', { documents })),
        commit: (batch, onSent) => {
          this.#commitsUnderWay++
          if (batch.writes.length > 0) this.#isLogUsed = true
          // Read when the batch goes, after all of its changes have been evaluated: no stamp that is stored lies ahead of it.
          const serviceMs = this.serviceMs()
          this.#recordedAtMs = serviceMs
          return connection
            .request('commit', { batch, serviceMs }, onSent)
            .finally(() => this.#commitsUnderWay--)
        },
      },
      options.clock,
      (error) => this.#onFailing(error),
    )
    // What the store commits for itself is watched, and not counted.
    const { backend, counts } = countCommits(this.#backend, options.clock)
    this.#documents = new StagedDocuments(backend)
    this.counts = counts
    this.#recordedAtMs = this.serviceMs()
    this.#recordTimer = this.#setRecordTimer()
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
    const { after = '', limit } = page
    const rows = await this.#connection.request('list', { bucket, after, limit })
    return rows.map(({ key, json }) => ({ key, document: JSON.parse(json) as D }))
  }

  async readHistory(scope: HistoryScope, page: HistoryPageRequest): Promise<readonly StoredHistoryEntry[]> {
    this.#documents.assertOpen()
    assertScope(scope)
    const { after = 0, sinceMs = Number.MIN_SAFE_INTEGER, limit } = page
    const rows = await this.#connection.request('history', { scope, after, sinceMs, limit })
    return rows.map((row) => historyEntryOf(row))
  }

  async lastHistorySequence(): Promise<number> {
    this.#documents.assertOpen()
    return this.#connection.request('lastSequence', {})
  }

  watchHistory(listener: () => void): Disposable {
    return this.#documents.watchHistory(listener)
  }

  async pruneHistory(beforeMs: number, limit: number): Promise<number> {
    this.#documents.assertOpen()
    return this.#connection.request('prune', { beforeMs: Math.trunc(beforeMs), limit })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    await this.#documents.close()
    this.#recordTimer.cancel()
    try {
      await this.#connection.close(this.serviceMs())
    } catch (error) {
      // Every update has been answered and is safe; there is nothing left that the caller could do.
      this.#warn(error, 'The database was not closed in good order; the next opening repairs that.')
    }
  }

  #setRecordTimer(): Timer {
    const { clock } = this.#options
    const waitMs = this.#isFailing ? limits.STORE_PROBE_MS : limits.STORE_SERVICE_RECORD_MS
    return clock.setTimer(waitMs, () => {
      this.#recordTimer = this.#setRecordTimer()
      this.#checkpointIfIdle()
      this.#recordServiceTime()
    })
  }

  /**
   * Keeps the service time when no commit has done so: an idle hub serves as well. While the store fails, this is what
   * finds out that it no longer does.
   */
  #recordServiceTime(): void {
    const restMs = this.serviceMs() - this.#recordedAtMs
    const isDue = this.#connection.alive && restMs >= limits.STORE_SERVICE_RECORD_MS / 2
    if (!isDue && !this.#isFailing) return
    this.#backend
      .commit({ writes: [], history: [] }, () => undefined)
      .catch((error: unknown) => {
        // That the store fails has been said already.
        if (!this.#isFailing) this.#warn(error, 'The service time was not recorded; it is tried again.')
      })
  }

  /** While nobody waits: a commit that has to do it takes many times as long. */
  #checkpointIfIdle(): void {
    const isIdle = this.#connection.alive && !this.#isFailing && this.#commitsUnderWay === 0
    if (!isIdle || !this.#isLogUsed) return
    this.#isLogUsed = false
    this.#connection
      .request('checkpoint', {})
      .catch((error: unknown) =>
        this.#warn(error, 'The log was not copied into the database; a commit will.'),
      )
  }

  #onFailing(error: StoreError | undefined): void {
    this.#isFailing = error !== undefined
    this.#recordTimer.cancel()
    if (this.#closing === undefined) this.#recordTimer = this.#setRecordTimer()
    if (error !== undefined)
      this.#warn(error, 'The store fails: changes are refused until a commit succeeds.')
    else this.#options.logger?.warn({ file: this.#options.file }, 'The store serves again.')
  }

  #warn(error: unknown, message: string): void {
    const { file, logger } = this.#options
    logger?.warn({ file, reason: error instanceof Error ? error.message : String(error) }, message)
  }
}
