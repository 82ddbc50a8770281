/** A file of the audit trail, one fact a line, that every export goes on with where the one before ended. */
import { field, isJsonObject, parseJson, limits, type AuditEntry } from '@downlink/protocol'
import { open, type FileHandle } from 'node:fs/promises'
import { CommandError, EXIT } from './exit-codes.ts'
import { printableJson } from './output.ts'

/** More than the longest line that a hub's facts make: a control with the largest arguments and its stamps. */
const LINE_BYTES_MAX = 1_048_576
/** Text that is gathered before it is written. */
const WRITE_CHARS = 262_144
const NEWLINE = 0x0a

/** An export under way. Dispose of it in any case. */
export interface AuditExport extends AsyncDisposable {
  /** The last fact that the file has; undefined for a new one. */
  readonly after: string | undefined
  /** Appends what comes, in bounded memory. @returns how many; they are on disk then. */
  append(
    entries: AsyncIterable<AuditEntry>,
  ): Promise<{ readonly count: number; readonly lastId: string | undefined }>
}

/**
 * Opens the file, for its owner only if it is new. A line that was cut short, as a full disk or a kill leaves it, is taken off.
 * @throws CommandError `usage` for a file whose last line is no fact of an audit trail.
 */
export async function openAuditExport(path: string): Promise<AuditExport> {
  const file = await open(path, 'a+', 0o600)
  try {
    const after = await lastId(file, path)
    return {
      after,
      append: (entries) => append(file, entries, after),
      [Symbol.asyncDispose]: () => file.close(),
    }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function append(
  file: FileHandle,
  entries: AsyncIterable<AuditEntry>,
  after: string | undefined,
): Promise<{ count: number; lastId: string | undefined }> {
  let text = ''
  let count = 0
  let id = after
  for await (const entry of entries) {
    text += `${printableJson(entry)}\n`
    count++
    id = entry.id
    if (text.length < WRITE_CHARS) continue
    await file.appendFile(text)
    text = ''
  }
  if (text !== '') await file.appendFile(text)
  await file.sync()
  return { count, lastId: id }
}

async function lastId(file: FileHandle, path: string): Promise<string | undefined> {
  const { size } = await file.stat()
  const from = Math.max(0, size - 2 * LINE_BYTES_MAX)
  const tail = Buffer.alloc(size - from)
  await file.read(tail, 0, tail.length, from)
  const end = tail.lastIndexOf(NEWLINE)
  if (end === -1 && size > LINE_BYTES_MAX) throw noExport(path)
  if (end === -1) {
    // Nothing, or a first line that was cut short: what is no beginning of a fact stays as it is.
    if (size > 0 && !tail.toString('utf8').startsWith('{"id":"')) throw noExport(path)
    await file.truncate(0)
    return undefined
  }
  const line = tail.subarray(tail.lastIndexOf(NEWLINE, end - 1) + 1, end)
  const fact = parseJson(line.toString('utf8'), limits.JSON_DEPTH_MAX + 8)
  const id = isJsonObject(fact) && typeof field(fact, 'kind') === 'string' ? field(fact, 'id') : undefined
  if (typeof id !== 'string' || !/^\d{1,15}$/.test(id)) throw noExport(path)
  if (from + end + 1 < size) await file.truncate(from + end + 1)
  return id
}

function noExport(path: string): CommandError {
  return new CommandError(
    EXIT.usage,
    `${path} does not end with a fact of an audit trail, so nothing was written to it. Name a new file, or one that an export made.`,
  )
}
