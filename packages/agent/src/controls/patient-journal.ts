/** Journals what has already happened: offered to the journal until it takes it, as it cannot be taken back. */
import { delay, limits, type Clock } from '@downlink/protocol'
import type { LedgerRecord } from './ledger-records.ts'

/** Where the records go, and who is told of trouble. */
export interface PatientJournalOptions {
  readonly append: (records: readonly LedgerRecord[]) => Promise<void>
  readonly clock: Clock
  readonly onTrouble: (error: unknown, message: string) => void
}

/** For outcomes and the ends of tasks: a disk that is full for a while must not make the agent forget them. */
export class PatientJournal {
  readonly #options: PatientJournalOptions
  readonly #stopped = new AbortController()

  constructor(options: PatientJournalOptions) {
    this.#options = options
  }

  /**
   * Resolves to true once the records are on disk, or to false if {@link PatientJournal.stop} comes first; never rejects.
   * @param what - completes the sentence "… could not be journalled".
   */
  async keep(records: readonly LedgerRecord[], what: string): Promise<boolean> {
    const { append, clock, onTrouble } = this.#options
    const { signal } = this.#stopped
    for (let tries = 0; ; tries++) {
      try {
        await append(records)
        return true
      } catch (error) {
        if (signal.aborted) return false
        if (tries === 0) onTrouble(error, `${what} could not be journalled; it is tried again until it can`)
      }
      try {
        await delay(clock, limits.JOURNAL_RETRY_MS, signal)
      } catch {
        return false
      }
    }
  }

  /** Gives up what is not on disk yet: the next start of the agent finds what it needs in the records before it. */
  stop(): void {
    this.#stopped.abort()
  }
}
