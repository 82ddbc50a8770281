/** What goes wrong with the database, in sentences that say what to do; imports nothing, so that the thread can. */

/** Whether anything was stored: nobody can tell of `outcome_unknown`; of any other certainly not. */
export type FailureCode = 'store_unavailable' | 'store_full' | 'store_failed' | 'outcome_unknown'

/** A `StoreError` as the database thread throws and sends it. */
export class SqliteFailure extends Error {
  readonly code: FailureCode
  constructor(code: FailureCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'SqliteFailure'
    this.code = code
  }
}

/** Primary result codes of SQLite (https://sqlite.org/rescode.html). */
const BUSY = 5
const LOCKED = 6
const READONLY = 8
const IOERR = 10
const CORRUPT = 11
const FULL = 13
const CANTOPEN = 14
const NOTADB = 26

/**
 * Explains an error of SQLite or of the file system.
 * @param committing - whether COMMIT itself failed. Then what was written may be found by a recovery after a crash, and only
 *   for a full disk is it certain that the mark which makes it valid is missing.
 */
export function failureOf(error: unknown, file: string, committing = false): SqliteFailure {
  if (error instanceof SqliteFailure) return error
  const code = primaryCode(error)
  const sentence = sentenceOf(code, file, error instanceof Error ? error.message : String(error))
  if (committing && code !== FULL && code !== BUSY) {
    return new SqliteFailure(
      'outcome_unknown',
      `${sentence} Nobody can tell whether this change was stored.`,
      error,
    )
  }
  return new SqliteFailure(codeOf(code), sentence, error)
}

function codeOf(code: number): FailureCode {
  if (code === FULL) return 'store_full'
  return code === IOERR || code === READONLY || code === CORRUPT ? 'store_failed' : 'store_unavailable'
}

/** Whether the connection may be in a state that only opening the database again repairs. */
export function needsReopening(error: unknown): boolean {
  const code = primaryCode(error)
  return code === IOERR || code === CORRUPT || code === NOTADB
}

function primaryCode(error: unknown): number {
  const cause = error instanceof SqliteFailure ? error.cause : error
  if (typeof cause !== 'object' || cause === null) return 0
  if ('errcode' in cause && typeof cause.errcode === 'number') return cause.errcode & 0xff
  if (!('code' in cause)) return 0
  switch (cause.code) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'EISDIR':
      return CANTOPEN
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return READONLY
    case 'ENOSPC':
    case 'EDQUOT':
      return FULL
    default:
      return 0
  }
}

function sentenceOf(code: number, file: string, message: string): string {
  switch (code) {
    case BUSY:
    case LOCKED:
      return `${file} is in use by another process. Run one hub per data directory: stop the other one, or give this one a directory of its own.`
    case READONLY:
      return `${file} cannot be written. Check the owner and mode of the file and of its directory, and that the disk is not mounted read-only.`
    case IOERR:
      return `${file} could not be read or written (${message}). Check the disk and the system's log.`
    case CORRUPT:
      return `${file} is damaged (${message}). Stop the hub and restore a backup.`
    case FULL:
      return `There is no space left for ${file}. Free space on its disk, or raise the bound on its size if one is set; the hub goes on by itself then.`
    case CANTOPEN:
      return `${file} cannot be opened. Check that its directory exists and that this user may write in it.`
    case NOTADB:
      return `${file} is not a database. Give the hub a data directory of its own, or restore a backup.`
    default:
      return `${file} could not be used: ${message}.`
  }
}
