/** The journal: what is in it is on disk before anyone acts on it; the ledger is its fold. */
import type { DownlinkError } from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import type { LedgerRecord } from './ledger-records.ts'
import { Ledger } from './ledger.ts'

/** The ledger and the disk that it rests on. */
export interface Journal extends AsyncDisposable {
  readonly ledger: Ledger
  /** Whether the file could not be read to its end, so that this is a new journal. */
  readonly wasLost: boolean
  /** Why the last append was refused; undefined once one was taken again. */
  readonly fault: DownlinkError | undefined
  /**
   * Resolves once the records are on disk and in the ledger; records given while a flush is under way share the next one.
   * What the hub has acknowledged meanwhile is forgotten with them. Without records it asks whether the journal can be written.
   * @throws DownlinkError `journal_unavailable`; none of them is kept, and the journal goes on with the next.
   */
  append(records: readonly LedgerRecord[]): Promise<void>
}

/** A journal that ends with the process; each start is a new one to the hub. */
export function createMemoryJournal(): Journal {
  const ledger = new Ledger([newJournalRecord()])
  return {
    ledger,
    wasLost: false,
    fault: undefined,
    append(records) {
      const forget = ledger.forgetRecord()
      if (forget !== undefined) ledger.record(forget)
      for (const record of records) ledger.record(record)
      return Promise.resolve()
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/** The first record of a new journal. */
export function newJournalRecord(): LedgerRecord {
  return { type: 'journal', journalId: randomUUID() }
}
