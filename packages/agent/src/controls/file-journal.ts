/** A journal in a file: what it promises is on disk, and a file in doubt is written anew from the ledger, never trusted again. */
import { DownlinkError, limits, type Clock } from '@downlink/protocol'
import { dirname, join } from 'node:path'
import { codeOf, isDiskFull, writeAll, type JournalDisk, type JournalFile } from './journal-disk.ts'
import { encodeRecord } from './journal-lines.ts'
import type { Journal } from './journal.ts'
import type { LedgerRecord } from './ledger-records.ts'
import { compactRecords } from './ledger-state.ts'
import type { Ledger } from './ledger.ts'

/** Where a journal lies and how it is kept. */
export interface JournalPlace {
  readonly path: string
  readonly clock: Clock
  readonly disk: JournalDisk
  /** Size at which it is rewritten from the state, bytes. */
  readonly compactBytes: number
  /** Begins to write the file anew; for tests that kill the process there. */
  readonly onCompact: () => void
}

interface Waiting {
  readonly records: readonly LedgerRecord[]
  readonly lines: string
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface PlacedFile {
  readonly file: JournalFile
  readonly bytes: number
}

/**
 * ```
 * in doubt ──► written anew, in its place ──► appended to ──► past its size: written anew
 *     ▲                                            │
 *     └──── a flush, or any write but a full disk's, failed
 * ```
 */
export class FileJournal implements Journal {
  readonly ledger: Ledger
  readonly wasLost: boolean
  readonly #place: JournalPlace
  /** Undefined while the file is in doubt: after a failed flush nobody knows what of it is on disk, whatever the next says. */
  #file: JournalFile | undefined
  /** What is on disk and in the ledger; whatever the file holds behind it was refused. */
  #bytes = 0
  #compactAtBytes: number
  #hasRefusedTail = false
  /** The damaged file still lies in the journal's place. */
  #isAsideDue: boolean
  #fault: DownlinkError | undefined
  #waiting: Waiting[] = []
  #flushing: Promise<void> | undefined
  #closed = false

  /** @param wasLost - what lies in the journal's place is damaged; it is put aside. */
  constructor(place: JournalPlace, ledger: Ledger, wasLost: boolean) {
    this.#place = place
    this.ledger = ledger
    this.wasLost = wasLost
    this.#isAsideDue = wasLost
    this.#compactAtBytes = place.compactBytes
  }

  get fault(): DownlinkError | undefined {
    return this.#fault
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
    // A disk that is known to fail is not waited for: the next start reports these once more.
    const isForgetDue = this.ledger.forgetRecord() !== undefined && this.#fault === undefined
    if (isForgetDue) this.append([]).catch(() => undefined)
    this.#closed = true
    await this.#flushing
    await this.#file?.close().catch(() => undefined)
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      const forget = this.ledger.forgetRecord()
      const forgetLine = forget === undefined ? '' : encodeRecord(forget)
      try {
        await this.#write(Buffer.from(forgetLine + batch.map(({ lines }) => lines).join('')))
        this.#fault = undefined
      } catch (error) {
        const fault = unavailable('it cannot be written', error)
        this.#fault = fault
        for (const { reject } of batch) reject(fault)
        continue
      }
      if (forget !== undefined) this.ledger.record(forget)
      for (const { records } of batch) for (const record of records) this.ledger.record(record)
      for (const { resolve } of batch) resolve()
      if (this.#bytes > this.#compactAtBytes) await this.#compact()
    }
    this.#flushing = undefined
  }

  async #write(bytes: Buffer): Promise<void> {
    // Without a record the question is whether the disk takes anything again, which only a file can tell.
    const isProbe = bytes.length === 0 && this.#fault !== undefined
    if (this.#file === undefined || isProbe) await this.#writeAnew()
    await this.#cutRefusedTail()
    const file = this.#file
    if (bytes.length === 0 || file === undefined) return
    this.#hasRefusedTail = true
    try {
      await writeAll(file, bytes, this.#bytes)
    } catch (error) {
      if (isDiskFull(error)) await this.#cutRefusedTail().catch(() => this.#doubt())
      else await this.#doubt()
      throw error
    }
    try {
      await file.datasync()
    } catch (error) {
      await this.#doubt()
      throw error
    }
    this.#hasRefusedTail = false
    this.#bytes += bytes.length
  }

  /** A whole line of what was refused would be read as a decision at the next start. */
  async #cutRefusedTail(): Promise<void> {
    if (!this.#hasRefusedTail || this.#file === undefined) return
    await this.#file.truncate(this.#bytes)
    this.#hasRefusedTail = false
  }

  async #doubt(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    if (file === undefined) return
    if (this.#hasRefusedTail) await file.truncate(this.#bytes).catch(() => undefined)
    await file.close().catch(() => undefined)
  }

  async #compact(): Promise<void> {
    let next: PlacedFile
    try {
      next = await this.#writeBeside()
    } catch {
      // The old file is whole, in its place, and goes on.
      this.#compactAtBytes = this.#bytes + this.#place.compactBytes / 4
      return
    }
    // From here on the directory may name either file after a crash.
    await this.#doubt()
    await this.#install(next).catch(() => undefined)
  }

  async #writeAnew(): Promise<void> {
    const next = await this.#writeBeside()
    await this.#doubt()
    await this.#install(next)
  }

  /** Writes the ledger's state to a file beside the journal, on disk when it resolves. */
  async #writeBeside(): Promise<PlacedFile> {
    const { path, clock, disk, onCompact } = this.#place
    onCompact()
    await disk.makeDirectory(dirname(path))
    const records = compactRecords(this.ledger.state, clock.wallMs())
    const bytes = Buffer.from(records.map(encodeRecord).join(''))
    const file = await disk.create(`${path}.new`)
    try {
      await writeAll(file, bytes, 0)
      await file.sync()
      return { file, bytes: bytes.length }
    } catch (error) {
      await file.close().catch(() => undefined)
      await disk.remove(`${path}.new`).catch(() => undefined)
      throw error
    }
  }

  /** Puts it in the journal's place, so that there is a whole one at every moment. */
  async #install({ file, bytes }: PlacedFile): Promise<void> {
    const { path, disk, compactBytes } = this.#place
    try {
      if (this.#isAsideDue) await putAside(this.#place)
      this.#isAsideDue = false
      await disk.rename(`${path}.new`, path)
      await disk.syncDirectory(dirname(path))
    } catch (error) {
      await file.close().catch(() => undefined)
      throw error
    }
    this.#file = file
    this.#bytes = bytes
    this.#hasRefusedTail = false
    // A state that is large by itself must not be rewritten for every record.
    this.#compactAtBytes = Math.max(compactBytes, 2 * bytes)
  }
}

/** Keeps a damaged journal for whoever looks, and the last few before it. */
async function putAside({ path, disk, clock }: JournalPlace): Promise<void> {
  const directory = dirname(path)
  const prefix = 'journal.jsonl.damaged-'
  const stamp = Math.max(0, Math.floor(clock.wallMs())).toString().padStart(15, '0')
  const taken = (await disk.list(directory)).filter((name) => name.startsWith(prefix)).toSorted()
  await disk.rename(path, join(directory, `${prefix}${stamp}-${taken.length}`))
  const isTooMany = taken.length + 1 - limits.JOURNALS_ASIDE_MAX
  for (const name of taken.slice(0, Math.max(0, isTooMany))) {
    await disk.remove(join(directory, name)).catch(() => undefined)
  }
}

function unavailable(what: string, cause: unknown): DownlinkError {
  const code = codeOf(cause)
  const reason = code === undefined ? '' : ` (${code})`
  return new DownlinkError(
    'journal_unavailable',
    `The agent's journal cannot take a decision: ${what}${reason}. No control is decided until it can; free disk space or mend the state directory.`,
    { retry: 'backoff', cause },
  )
}
