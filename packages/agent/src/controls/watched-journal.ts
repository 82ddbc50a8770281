/** A journal whose health is told, and which is asked again by itself until it can be written. */
import { limits, type Clock, type DownlinkError, type Timer } from '@downlink/protocol'
import type { Journal } from './journal.ts'
import type { LedgerRecord } from './ledger-records.ts'
import type { Ledger } from './ledger.ts'

/** Who is told. */
export interface WatchedJournalOptions {
  readonly clock: Clock
  /** Whether decisions can be kept. */
  readonly onHealth: (works: boolean) => void
  readonly onTrouble: (error: unknown, message: string) => void
}

/** The same journal. While it cannot be written it is asked every `JOURNAL_ASK_AGAIN_MS`, without waiting for a control. */
export class WatchedJournal implements Journal {
  readonly #inner: Journal
  readonly #options: WatchedJournalOptions
  #works = true
  #askAgain: Timer | undefined
  #isClosed = false

  constructor(inner: Journal, options: WatchedJournalOptions) {
    this.#inner = inner
    this.#options = options
    if (inner.fault !== undefined) this.#failed(inner.fault)
  }

  get ledger(): Ledger {
    return this.#inner.ledger
  }

  get wasLost(): boolean {
    return this.#inner.wasLost
  }

  get fault(): DownlinkError | undefined {
    return this.#inner.fault
  }

  async append(records: readonly LedgerRecord[]): Promise<void> {
    const slow = this.#options.clock.setTimer(limits.JOURNAL_SLOW_MS, () => this.#isSlow())
    try {
      await this.#inner.append(records)
      this.#worked()
    } catch (error) {
      // What is no JSON is refused by itself and says nothing of the disk.
      if (this.#inner.fault !== undefined) this.#failed(error)
      throw error
    } finally {
      slow.cancel()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    this.#askAgain?.cancel()
    await this.#inner[Symbol.asyncDispose]()
  }

  #worked(): void {
    if (this.#works) return
    this.#works = true
    this.#askAgain?.cancel()
    this.#askAgain = undefined
    this.#options.onHealth(true)
  }

  #failed(error: unknown): void {
    if (this.#isClosed) return
    if (this.#works) {
      this.#works = false
      this.#options.onTrouble(error, 'the journal cannot be written; no control is decided until it can')
      this.#options.onHealth(false)
    }
    this.#askAgain ??= this.#options.clock.setTimer(limits.JOURNAL_ASK_AGAIN_MS, () => {
      this.#askAgain = undefined
      // It says by itself what became of it.
      this.append([]).catch(() => undefined)
    })
  }

  #isSlow(): void {
    if (this.#isClosed || !this.#works) return
    this.#works = false
    const message = `a write of the journal takes more than ${limits.JOURNAL_SLOW_MS} ms; no control is decided until it is done`
    this.#options.onTrouble(undefined, message)
    this.#options.onHealth(false)
  }
}
