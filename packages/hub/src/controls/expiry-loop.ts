/** Settles controls whose time to live has run out, also of agents that never come back. */
import { limits, type Clock, type Timer } from '@downlink/protocol'
import type { Logger } from '../logger.ts'
import type { Store } from '../store/store.ts'
import type { MailboxChanges } from './mailbox-changes.ts'
import type { Mailbox } from './mailbox.ts'

/** What the loop needs. */
export interface ExpiryLoopOptions {
  readonly store: Store
  readonly clock: Clock
  readonly changes: MailboxChanges
  readonly logger: Logger
  readonly expire: (agentId: string) => Promise<void>
  /** Told of every mailbox, once at first and then as it changes: whoever else follows them all need not read them again. */
  readonly onMailbox?: (mailbox: Mailbox) => void
}

/**
 * Reads all mailboxes once, then follows their changes with one timer.
 * Nothing expires after it was disposed of.
 */
export async function startExpiryLoop(options: ExpiryLoopOptions): Promise<Disposable> {
  const loop = new ExpiryLoop(options)
  await loop.readAll()
  return loop
}

class ExpiryLoop implements Disposable {
  readonly #options: ExpiryLoopOptions
  readonly #listener: Disposable
  /** The earliest expiry of each agent that has one, on the store's service time. */
  readonly #dueMs = new Map<string, number>()
  #timer: Timer | undefined
  #timerDueMs = Infinity
  #isStopped = false

  constructor(options: ExpiryLoopOptions) {
    this.#options = options
    this.#listener = options.changes.listen(({ mailbox }) => this.#take(mailbox))
  }

  async readAll(): Promise<void> {
    let after: string | undefined
    for (;;) {
      const page = await this.#options.store.list<Mailbox>('mailboxes', {
        limit: limits.PAGE_MAX,
        ...(after === undefined ? {} : { after }),
      })
      for (const { document } of page) this.#take(document)
      after = page.at(-1)?.key
      if (after === undefined || page.length < limits.PAGE_MAX) return
    }
  }

  [Symbol.dispose](): void {
    this.#isStopped = true
    this.#listener[Symbol.dispose]()
    this.#timer?.cancel()
  }

  #take(mailbox: Mailbox): void {
    this.#options.onMailbox?.(mailbox)
    let earliestMs = Infinity
    for (const entry of mailbox.open) earliestMs = Math.min(earliestMs, entry.expiresAtServiceMs ?? Infinity)
    if (earliestMs === Infinity) this.#dueMs.delete(mailbox.agentId)
    else this.#dueMs.set(mailbox.agentId, earliestMs)
    if (earliestMs < this.#timerDueMs) this.#setTimer(earliestMs)
  }

  #setTimer(dueMs: number): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerDueMs = dueMs
    if (this.#isStopped || dueMs === Infinity) return
    const { clock, store } = this.#options
    this.#timer = clock.setTimer(Math.max(0, dueMs - store.serviceMs()), () => void this.#run())
  }

  async #run(): Promise<void> {
    const nowMs = this.#options.store.serviceMs()
    const due = [...this.#dueMs].filter(([, dueMs]) => dueMs <= nowMs).map(([agentId]) => agentId)
    for (const agentId of due) this.#dueMs.delete(agentId)
    await Promise.all(due.map((agentId) => this.#expire(agentId)))
    let earliestMs = Infinity
    for (const dueMs of this.#dueMs.values()) earliestMs = Math.min(earliestMs, dueMs)
    this.#setTimer(earliestMs)
  }

  async #expire(agentId: string): Promise<void> {
    try {
      await this.#options.expire(agentId)
    } catch (error) {
      if (this.#isStopped) return
      this.#options.logger.warn({ agentId, error }, 'Could not settle expired controls; trying again')
      this.#dueMs.set(agentId, this.#options.store.serviceMs() + limits.EXPIRY_RETRY_MS)
    }
  }
}
