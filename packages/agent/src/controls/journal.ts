/** The journal on disk: checksummed lines, each flushed before anyone acts on it; the ledger is their fold. */
import { DownlinkError, limits, type Clock } from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import { mkdir, open, readFile, rename, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { LedgerRecord } from './ledger-records.ts'
import { compactRecords } from './ledger-state.ts'
import { Ledger } from './ledger.ts'

/** The ledger and the disk that it rests on. */
export interface Journal extends AsyncDisposable {
  readonly ledger: Ledger
  /** Whether the file was unreadable somewhere before its end, so that this is a new journal. */
  readonly wasLost: boolean
  /**
   * Resolves once the records are on disk and in the ledger; records given while a flush is under way share the next one.
   * @throws DownlinkError `journal_unavailable`; none of them is kept, and the journal goes on with the next.
   */
  append(records: readonly LedgerRecord[]): Promise<void>
}

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
export async function openJournal(directory: string, clock: Clock): Promise<Journal> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, 'journal.jsonl')
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const { records, goodBytes, damaged } = readRecords(text)
  const first = records[0]
  const unusable = damaged || (first !== undefined && first.type !== 'journal')
  if (unusable) await rename(path, `${path}.damaged-${randomUUID().slice(0, 8)}`)
  if (unusable || first === undefined) {
    const ledger = new Ledger([newJournal()])
    const { file, bytes } = await writeWhole(path, compactRecords(ledger.state, clock.wallMs()))
    return new FileJournal({ path, file, bytes, ledger, wasLost: unusable, clock })
  }
  const file = await open(path, 'r+')
  await file.truncate(goodBytes)
  return new FileJournal({ path, file, bytes: goodBytes, ledger: new Ledger(records), wasLost: false, clock })
}

function newJournal(): LedgerRecord {
  return { type: 'journal', journalId: randomUUID() }
}

/** One journal line: the CRC-32 of the JSON, a space, the JSON. */
export function encodeRecord(record: LedgerRecord): string {
  const json = JSON.stringify(record)
  return `${crc32(json).toString(16).padStart(8, '0')} ${json}\n`
}

/** The records up to the first line that is torn or damaged; `damaged` if anything readable stands behind it. */
export function readRecords(text: string): {
  readonly records: readonly LedgerRecord[]
  readonly goodBytes: number
  readonly damaged: boolean
} {
  const records: LedgerRecord[] = []
  let start = 0
  for (;;) {
    const end = text.indexOf('\n', start)
    const record = end === -1 ? undefined : decodeRecord(text.slice(start, end))
    if (record === undefined) {
      const rest = end === -1 ? '' : text.slice(end + 1)
      const damaged = rest.split('\n').some((line) => decodeRecord(line) !== undefined)
      return { records, goodBytes: Buffer.byteLength(text.slice(0, start)), damaged }
    }
    records.push(record)
    start = end + 1
  }
}

function decodeRecord(line: string): LedgerRecord | undefined {
  const json = line.slice(9)
  if (line.length < 10 || line.slice(0, 8) !== crc32(json).toString(16).padStart(8, '0')) return undefined
  // The checksum vouches for it: only this code wrote such a line.
  return JSON.parse(json) as LedgerRecord
}

interface Waiting {
  readonly records: readonly LedgerRecord[]
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface OpenFile {
  readonly path: string
  readonly file: FileHandle
  readonly bytes: number
  readonly ledger: Ledger
  readonly wasLost: boolean
  readonly clock: Clock
}

class FileJournal implements Journal {
  readonly ledger: Ledger
  readonly wasLost: boolean
  readonly #path: string
  readonly #clock: Clock
  #file: FileHandle
  #bytes: number
  #waiting: Waiting[] = []
  #flushing: Promise<void> | undefined
  #closed = false

  constructor(opened: OpenFile) {
    this.ledger = opened.ledger
    this.wasLost = opened.wasLost
    this.#path = opened.path
    this.#clock = opened.clock
    this.#file = opened.file
    this.#bytes = opened.bytes
  }

  append(records: readonly LedgerRecord[]): Promise<void> {
    if (this.#closed) return Promise.reject(unavailable('it is closed', undefined))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ records, resolve, reject })
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
      const bytes = Buffer.from(batch.flatMap(({ records }) => records.map(encodeRecord)).join(''))
      try {
        await this.#file.write(bytes, 0, bytes.length, this.#bytes)
        await this.#file.datasync()
        this.#bytes += bytes.length
        for (const record of batch.flatMap(({ records }) => records)) this.ledger.record(record)
        for (const { resolve } of batch) resolve()
      } catch (error) {
        // What a failed write left behind is cut off at the next start: nobody has acted on it.
        await this.#file.truncate(this.#bytes).catch(() => undefined)
        for (const { reject } of batch) reject(unavailable('it cannot be written', error))
      }
      if (this.#bytes > limits.JOURNAL_BYTES_MAX) await this.#rewrite()
    }
    this.#flushing = undefined
  }

  async #rewrite(): Promise<void> {
    try {
      const { file, bytes } = await writeWhole(
        this.#path,
        compactRecords(this.ledger.state, this.#clock.wallMs()),
      )
      await this.#file.close()
      this.#file = file
      this.#bytes = bytes
    } catch {
      // The old file is whole and goes on; the next flush tries again.
    }
  }
}

/** Writes a journal beside the old one and puts it in its place, so that there is a whole one at every moment. */
async function writeWhole(
  path: string,
  records: readonly LedgerRecord[],
): Promise<{ readonly file: FileHandle; readonly bytes: number }> {
  const bytes = Buffer.from(records.map(encodeRecord).join(''))
  const temporary = `${path}.new`
  const file = await open(temporary, 'w+', 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
    await rename(temporary, path)
    const directory = await open(dirname(path), 'r')
    try {
      await directory.sync()
    } finally {
      await directory.close()
    }
    return { file, bytes: bytes.length }
  } catch (error) {
    await file.close()
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
