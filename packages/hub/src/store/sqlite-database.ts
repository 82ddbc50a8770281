/** The SQL of the store: one open database, all of it synchronous; lives in the database thread. */
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { StatementSync } from 'node:sqlite'
import type { CommitBatch, CommitReply, HistoryRow, StoredDocument } from './commit-batch.ts'
import { assertOurs, migrate, MIGRATIONS } from './migrations.ts'
import { failureOf, needsReopening, SqliteFailure } from './sqlite-failure.ts'
import type { Opened, OpenRequest } from './sqlite-protocol.ts'
import type { Bucket, HistoryScope } from './store.ts'

/** How much of the log is in memory at once while it is written again. */
const LOG_CHUNK_BYTES = 1_048_576

/**
 * An open database.
 *
 * The lock on the file is held from opening to closing, and by the operating system, so that a killed hub leaves none behind.
 * That nobody else can write is what lets the store answer from memory.
 */
export class SqliteDatabase {
  readonly #file: string
  readonly #database: DatabaseSync
  readonly #opened: Opened
  readonly #statements: Statements

  /** @throws SqliteFailure */
  constructor(request: OpenRequest) {
    this.#file = request.file
    try {
      createPrivately(request.file)
      this.#database = new DatabaseSync(request.file, { timeout: request.busyMs })
    } catch (error) {
      throw failureOf(error, request.file)
    }
    try {
      this.#prepare(request)
      this.#opened = this.#takeEpoch(request.epoch)
      this.#statements = prepareStatements(this.#database)
    } catch (error) {
      this.#database.close()
      const { code, message, cause } = failureOf(error, request.file)
      // Of an opening nothing is left to be known.
      throw new SqliteFailure(code === 'outcome_unknown' ? 'store_failed' : code, message, cause)
    }
  }

  /** What this opening found. */
  get opened(): Opened {
    return this.#opened
  }

  /**
   * Stores a batch, but for documents that are at another version, in one transaction.
   * @throws SqliteFailure
   */
  commit(batch: CommitBatch, serviceMs: number): CommitReply {
    return this.#transaction(() => {
      const conflicts = new Set<number>()
      for (const [index, write] of batch.writes.entries()) {
        const { bucket, key, expectedVersion, json } = write
        const { changes } =
          expectedVersion === 0
            ? this.#statements.insert.run(bucket, key, json)
            : this.#statements.update.run(json, bucket, key, expectedVersion)
        if (Number(changes) === 0) conflicts.add(index)
      }
      for (const fact of batch.history) {
        const { write, agentId = '', atMs, kind, controlId = null, taskId = null, json } = fact
        if (!conflicts.has(write)) this.#statements.append.run(agentId, atMs, kind, controlId, taskId, json)
      }
      this.#statements.serve.run(Math.ceil(serviceMs))
      return { conflicts: [...conflicts] }
    })
  }

  /** @throws SqliteFailure */
  read(bucket: Bucket, key: string): StoredDocument | undefined {
    return this.#explained(() => this.#statements.read.get(bucket, key) as StoredDocument | undefined)
  }

  /** @throws SqliteFailure */
  list(bucket: Bucket, after: string, limit: number): { key: string; json: string }[] {
    return this.#explained(
      () => this.#statements.list.all(bucket, after, limit) as { key: string; json: string }[],
    )
  }

  /** @throws SqliteFailure */
  history(
    { agentId, controlId }: HistoryScope,
    page: { readonly after: number; readonly sinceMs: number; readonly limit: number },
  ): HistoryRow[] {
    const { history, agentHistory, controlHistory } = this.#statements
    const rest = [page.after, page.sinceMs, page.limit] as const
    return this.#explained(() => {
      if (controlId !== undefined) return controlHistory.all(controlId, ...rest)
      return agentId === undefined ? history.all(...rest) : agentHistory.all(agentId, ...rest)
    }) as unknown as HistoryRow[]
  }

  /** @throws SqliteFailure */
  lastSequence(): number {
    return this.#explained(() => Number(this.#statements.lastSequence.get()?.['sequence'] ?? 0))
  }

  /** @throws SqliteFailure */
  prune(beforeMs: number, limit: number): number {
    return this.#transaction(() => Number(this.#statements.prune.run(limit, beforeMs).changes))
  }

  /**
   * Copies what is in the write-ahead log into the database, so that no commit has to.
   * @throws SqliteFailure
   */
  checkpoint(): void {
    this.#explained(() => this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)'))
  }

  /**
   * Records the service time, empties the write-ahead log into the database and closes it.
   * @throws SqliteFailure if either failed; it is closed all the same, and what was committed is safe in the log.
   */
  close(serviceMs: number): void {
    try {
      this.commit({ writes: [], history: [] }, serviceMs)
      this.#explained(() => this.#database.exec('PRAGMA wal_checkpoint(TRUNCATE)'))
    } finally {
      this.#database.close()
    }
  }

  /** Closes the database after an error, as a kill would: the next opening recovers what was committed. */
  abandon(): void {
    if (this.#database.isOpen) this.#database.close()
  }

  #prepare(request: OpenRequest): void {
    // Before the first read, else the write-ahead log's index would be shared with other processes.
    this.#database.exec('PRAGMA locking_mode = EXCLUSIVE')
    assertOurs(this.#database, request.file)
    const { journal_mode: mode } = this.#database.prepare('PRAGMA journal_mode = WAL').get() ?? {}
    if (mode !== 'wal') {
      throw new SqliteFailure(
        'store_unavailable',
        `${request.file} cannot have a write-ahead log (its journal mode stays ${String(mode)}). Use a local disk.`,
      )
    }
    rewriteLog(`${request.file}-wal`)
    this.#database.exec('PRAGMA synchronous = FULL')
    // Only macOS knows the difference: its fsync leaves data in the cache of the disk.
    this.#database.exec('PRAGMA fullfsync = ON')
    this.#database.exec(`PRAGMA journal_size_limit = ${request.walBytesMax}`)
    if (request.checkpointPagesMax !== undefined)
      this.#database.exec(`PRAGMA wal_autocheckpoint = ${request.checkpointPagesMax}`)
    if (request.fileBytesMax !== undefined) {
      const { page_size: pageBytes } = this.#database.prepare('PRAGMA page_size').get() ?? {}
      const pagesMax = Math.max(1, Math.floor(request.fileBytesMax / Number(pageBytes)))
      this.#database.exec(`PRAGMA max_page_count = ${pagesMax}`)
    }
    migrate(this.#database, request.migrations ?? MIGRATIONS, request.file)
  }

  #takeEpoch(wanted: OpenRequest['epoch']): Opened {
    const value = this.#database.prepare('SELECT value FROM meta WHERE name = ?')
    const stored = (name: string): number => Number(value.get(name)?.['value'] ?? 0)
    return this.#transaction(() => {
      const serviceMs = stored('service_ms')
      if ('atLeast' in wanted) {
        const epoch = Math.max(stored('epoch') + 1, wanted.atLeast)
        this.#database.prepare(`UPDATE meta SET value = ? WHERE name = 'epoch'`).run(epoch)
        return { epoch, serviceMs }
      }
      if (stored('epoch') === wanted.same) return { epoch: wanted.same, serviceMs }
      throw new SqliteFailure(
        'store_unavailable',
        `Another hub has opened ${this.#file} while this one's database thread was down. Run one hub per data directory and restart this one.`,
      )
    })
  }

  #transaction<T>(work: () => T): T {
    let committing = false
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      const result = work()
      committing = true
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      const failure = failureOf(error, this.#file, committing)
      try {
        // SQLite has rolled back by itself after some errors, not after others.
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      } catch (cause) {
        throw new SqliteFailure(failure.code, failure.message, needsReopening(cause) ? cause : error)
      }
      throw failure
    }
  }

  #explained<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw failureOf(error, this.#file)
    }
  }
}

interface Statements {
  readonly insert: StatementSync
  readonly update: StatementSync
  readonly append: StatementSync
  readonly serve: StatementSync
  readonly read: StatementSync
  readonly list: StatementSync
  readonly history: StatementSync
  readonly agentHistory: StatementSync
  readonly controlHistory: StatementSync
  readonly lastSequence: StatementSync
  readonly prune: StatementSync
}

function prepareStatements(database: DatabaseSync): Statements {
  return {
    insert: database.prepare(
      'INSERT INTO documents (bucket, key, version, json) VALUES (?, ?, 1, ?) ON CONFLICT DO NOTHING',
    ),
    update: database.prepare(
      'UPDATE documents SET version = version + 1, json = ? WHERE bucket = ? AND key = ? AND version = ?',
    ),
    append: database.prepare(
      'INSERT INTO history (agent_id, at_ms, kind, control_id, task_id, json) VALUES (?, ?, ?, ?, ?, ?)',
    ),
    serve: database.prepare(`UPDATE meta SET value = max(value, ?) WHERE name = 'service_ms'`),
    read: database.prepare('SELECT version, json FROM documents WHERE bucket = ? AND key = ?'),
    list: database.prepare(
      'SELECT key, json FROM documents WHERE bucket = ? AND key > ? ORDER BY key LIMIT ?',
    ),
    history: database.prepare(selectHistory('')),
    agentHistory: database.prepare(selectHistory('agent_id = ? AND')),
    controlHistory: database.prepare(selectHistory('control_id = ? AND')),
    // Kept by AUTOINCREMENT, so that a sequence is never given twice, whatever has been dropped.
    lastSequence: database.prepare(`SELECT seq AS sequence FROM sqlite_sequence WHERE name = 'history'`),
    prune: database.prepare(
      `DELETE FROM history WHERE sequence IN
         (SELECT sequence FROM (SELECT sequence, at_ms FROM history ORDER BY sequence LIMIT ?) WHERE at_ms < ?)`,
    ),
  }
}

function selectHistory(condition: string): string {
  return `SELECT sequence, agent_id AS agentId, at_ms AS atMs, kind, control_id AS controlId, task_id AS taskId, json
    FROM history WHERE ${condition} sequence > ? AND at_ms >= ? ORDER BY sequence LIMIT ?`
}

/**
 * Writes the log of an earlier opening again, as it is, and flushes it. After a flush that failed, the system may show what
 * never came onto the disk, and say of the next flush that all is well: what is committed behind it would be lost
 * with it. Only for who has the lock of the database.
 */
function rewriteLog(file: string): void {
  let log: number
  try {
    log = openSync(file, 'r+')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    throw error
  }
  try {
    const chunk = Buffer.allocUnsafe(LOG_CHUNK_BYTES)
    for (let at = 0; ;) {
      const bytes = readSync(log, chunk, 0, chunk.length, at)
      if (bytes === 0) break
      for (let written = 0; written < bytes;)
        written += writeSync(log, chunk, written, bytes - written, at + written)
      at += bytes
    }
    fsyncSync(log)
  } finally {
    closeSync(log)
  }
}

/** Creates the file, readable by its owner only, before SQLite would create it readable by all; SQLite's own files follow its mode. */
function createPrivately(file: string): void {
  let descriptor: number
  try {
    descriptor = openSync(file, 'wx', 0o600)
  } catch (error) {
    // An existing file must not even be opened here: closing it would take away the locks that this process has on it.
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return
    throw error
  }
  closeSync(descriptor)
  if (process.platform === 'win32') return
  // Without it a power loss could take the file's name with all that was committed.
  const directory = openSync(dirname(file), 'r')
  fsyncSync(directory)
  closeSync(directory)
}
