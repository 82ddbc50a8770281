/** The journal on disk: checksummed lines, each flushed before anyone acts on it; the ledger is their fold. */
import { DownlinkError, limits, type Clock } from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { encodeRecord, readRecords } from './journal-lines.ts'
import type { LedgerRecord } from './ledger-records.ts'
import { syncDirectory } from '../sync-directory.ts'
import { compactRecords } from './ledger-state.ts'
import { Ledger } from './ledger.ts'

/** The ledger and the disk that it rests on. */
export interface Journal extends AsyncDisposable {
  readonly ledger: Ledger
  /** Whether the file could not be read to its end, so that this is a new journal. */
  readonly wasLost: boolean
  /**
   * Resolves once the records are on disk and in the ledger; records given while a flush is under way share the next one.
   * @throws DownlinkError `journal_unavailable`; none of them is kept, and the journal goes on with the next.
   */
  append(records: readonly LedgerRecord[]): Promise<void>
}

/** The part of an open file that a journal uses. @internal */
export type JournalFile = Pick<FileHandle, 'write' | 'sync' | 'datasync' | 'truncate' | 'close'>

/** The part of the file system that a journal writes to, so that a test can make it fail. @internal */
export interface JournalDisk {
  open(path: string, flags: string, mode?: number): Promise<JournalFile>
  rename(from: string, to: string): Promise<void>
  syncDirectory(path: string): Promise<void>
}

const realDisk: JournalDisk = { open, rename, syncDirectory }

/** A journal that ends with the process; each start is a new one to the hub. */
export function createMemoryJournal(): Journal {
  const ledger = new Ledger([newJournal()])
  return {
    ledger,
    wasLost: false,
    append(records) {
      for (const record of records) ledger.record(record)
      return Promise.resolve()
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/**
 * Opens `journal.jsonl` in `directory`, which it makes with mode 0700 if it is missing.
 * A torn last line is what a crash leaves, and is cut off; damage before it means that decisions are lost, so the file
 * is put aside and a new journal begins. Past `JOURNAL_BYTES_MAX` it is rewritten from the ledger's state.
 */
export async function openJournal(
  directory: string,
  clock: Clock,
  disk: JournalDisk = realDisk,
): Promise<Journal> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, 'journal.jsonl')
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const { records, goodBytes, damaged } = readRecords(text)
  const place = { path, clock, disk }
  // A journal is put in its place whole, so that even its first line can be missing only by damage.
  const wasLost = damaged || (text !== '' && records[0]?.type !== 'journal')
  if (wasLost) await disk.rename(path, `${path}.damaged-${randomUUID().slice(0, 8)}`)
  if (wasLost || text === '') {
    const ledger = new Ledger([newJournal()])
    const { file, bytes } = await replaceWhole(place, compactRecords(ledger.state, clock.wallMs()))
    await disk.syncDirectory(directory)
    return new FileJournal({ ...place, file, bytes, ledger, wasLost })
  }
  const file = await disk.open(path, 'r+')
  try {
    await file.truncate(goodBytes)
  } catch (error) {
    await file.close()
    throw error
  }
  return new FileJournal({ ...place, file, bytes: goodBytes, ledger: new Ledger(records), wasLost })
}

function newJournal(): LedgerRecord {
  return { type: 'journal', journalId: randomUUID() }
}

interface Waiting {
  readonly records: readonly LedgerRecord[]
  readonly lines: string
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface Place {
  readonly path: string
  readonly clock: Clock
  readonly disk: JournalDisk
}

interface OpenFile extends Place {
  readonly file: JournalFile
  readonly bytes: number
  readonly ledger: Ledger
  readonly wasLost: boolean
}

class FileJournal implements Journal {
  readonly ledger: Ledger
  readonly wasLost: boolean
  readonly #place: Place
  #file: JournalFile
  /** What is on disk and in the ledger; whatever the file holds behind it was refused. */
  #bytes: number
  #compactAtBytes: number = limits.JOURNAL_BYTES_MAX
  #hasRefusedTail = false
  /** After a crash the directory could still name the file from before a rewrite. */
  #isDirectoryUnsynced = false
  #waiting: Waiting[] = []
  #flushing: Promise<void> | undefined
  #closed = false

  constructor({ file, bytes, ledger, wasLost, ...place }: OpenFile) {
    this.ledger = ledger
    this.wasLost = wasLost
    this.#place = place
    this.#file = file
    this.#bytes = bytes
  }

  append(records: readonly LedgerRecord[]): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw unavailable('it is closed', undefined)
      this.#waiting.push({ records, lines: records.map(encodeRecord).join(''), resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#flushing
    await this.#file.close()
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      try {
        await this.#write(Buffer.from(batch.map(({ lines }) => lines).join('')))
      } catch (error) {
        for (const { reject } of batch) reject(unavailable('it cannot be written', error))
        continue
      }
      for (const { records } of batch) for (const record of records) this.ledger.record(record)
      for (const { resolve } of batch) resolve()
      if (this.#bytes > this.#compactAtBytes) await this.#compact()
    }
    this.#flushing = undefined
  }

  async #write(bytes: Buffer): Promise<void> {
    await this.#mend()
    this.#hasRefusedTail = true
    try {
      for (let written = 0; written < bytes.length;) {
        // A disk that fills up takes a part of the bytes and says so only by their count.
        const { bytesWritten } = await this.#file.write(
          bytes,
          written,
          bytes.length - written,
          this.#bytes + written,
        )
        written += bytesWritten
      }
      await this.#file.datasync()
    } catch (error) {
      await this.#mend().catch(() => undefined)
      throw error
    }
    this.#hasRefusedTail = false
    this.#bytes += bytes.length
  }

  /** Cuts off what a failed write left behind: a whole line of it would be read as a decision at the next start. */
  async #mend(): Promise<void> {
    if (this.#hasRefusedTail) {
      await this.#file.truncate(this.#bytes)
      this.#hasRefusedTail = false
    }
    if (this.#isDirectoryUnsynced) {
      await this.#place.disk.syncDirectory(dirname(this.#place.path))
      this.#isDirectoryUnsynced = false
    }
  }

  async #compact(): Promise<void> {
    const old = this.#file
    try {
      const records = compactRecords(this.ledger.state, this.#place.clock.wallMs())
      const { file, bytes } = await replaceWhole(this.#place, records)
      this.#file = file
      this.#bytes = bytes
      this.#isDirectoryUnsynced = true
      // A state that is large by itself must not be rewritten for every record.
      this.#compactAtBytes = Math.max(limits.JOURNAL_BYTES_MAX, 2 * bytes)
    } catch {
      // The old file is whole, in its place, and goes on.
      this.#compactAtBytes = this.#bytes + limits.JOURNAL_BYTES_MAX / 4
      return
    }
    await old.close().catch(() => undefined)
  }
}

/** Writes a journal beside the old one and puts it in its place, so that there is a whole one at every moment. */
async function replaceWhole(
  { path, disk }: Place,
  records: readonly LedgerRecord[],
): Promise<{ readonly file: JournalFile; readonly bytes: number }> {
  const bytes = Buffer.from(records.map(encodeRecord).join(''))
  const temporary = `${path}.new`
  const file = await disk.open(temporary, 'w+', 0o600)
  try {
    for (let written = 0; written < bytes.length;) {
      const { bytesWritten } = await file.write(bytes, written, bytes.length - written, written)
      written += bytesWritten
    }
    await file.sync()
    await disk.rename(temporary, path)
    return { file, bytes: bytes.length }
  } catch (error) {
    await file.close().catch(() => undefined)
    await rm(temporary, { force: true }).catch(() => undefined)
    throw error
  }
}

function unavailable(what: string, cause: unknown): DownlinkError {
  const reason = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
  return new DownlinkError(
    'journal_unavailable',
    `The agent's journal cannot take a decision: ${what}${reason}. No control is decided until it can; free disk space or mend the state directory.`,
    { retry: 'backoff', cause },
  )
}
