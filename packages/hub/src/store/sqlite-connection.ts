/** The store's connection to its database: a thread that is started again, a bounded number of times, when it has ended. */
import { limits } from '@downlink/protocol'
import type { Clock } from '@downlink/protocol'
import type { Exchanges, Kind, Opened, OpenRequest } from './sqlite-protocol.ts'
import { SqliteThread } from './sqlite-thread.ts'
import { StoreError } from './store.ts'

/** Opens the database. @throws StoreError */
export async function connectSqlite(
  request: OpenRequest,
  clock: Clock,
  onRestart: () => void,
): Promise<{ connection: SqliteConnection; opened: Opened }> {
  const thread = new SqliteThread(request)
  const opened = await thread.opened
  const again = { ...request, epoch: { same: opened.epoch } }
  return { connection: new SqliteConnection(thread, again, clock, onRestart), opened }
}

/** See {@link connectSqlite}. */
export class SqliteConnection {
  readonly #request: OpenRequest
  readonly #clock: Clock
  readonly #onRestart: () => void
  #thread: SqliteThread
  #restarting: Promise<void> | undefined
  /** When the latest restarts were, ms. */
  #restartsMs: number[] = []

  constructor(thread: SqliteThread, request: OpenRequest, clock: Clock, onRestart: () => void) {
    this.#thread = thread
    this.#request = request
    this.#clock = clock
    this.#onRestart = onRestart
  }

  /** Whether the thread runs; {@link request} would otherwise start one. */
  get alive(): boolean {
    return this.#restarting === undefined && this.#thread.alive
  }

  /**
   * Sends a request and resolves with its answer.
   * @param onSent - called as soon as it is sent.
   * @throws StoreError
   */
  async request<K extends Kind>(
    kind: K,
    carries: Exchanges[K]['carries'],
    onSent?: () => void,
  ): Promise<Exchanges[K]['answer']> {
    // Not awaited when it runs: a request is then sent at once, and in the order of the calls.
    if (!this.alive) {
      this.#restarting ??= this.#restart().finally(() => {
        this.#restarting = undefined
      })
      await this.#restarting
    }
    const answer = this.#thread.request(kind, carries)
    onSent?.()
    return answer
  }

  /** Ends the thread once it has answered everything. @throws StoreError if its last steps failed; it has ended all the same. */
  async close(serviceMs: number): Promise<void> {
    await this.#restarting?.catch(() => undefined)
    if (!this.#thread.alive) return
    try {
      await this.#thread.request('close', { serviceMs })
    } finally {
      await this.#thread.ended
    }
  }

  async #restart(): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    this.#restartsMs = this.#restartsMs.filter((atMs) => nowMs - atMs < limits.STORE_WORKER_RESTARTS_MS)
    if (this.#restartsMs.length >= limits.STORE_WORKER_RESTARTS_MAX) {
      throw new StoreError(
        'store_unavailable',
        `The database thread of ${this.#request.file} has ended ${this.#restartsMs.length + 1} times within ` +
          `${limits.STORE_WORKER_RESTARTS_MS} ms, so it is not started again for now. Look for the cause in the hub's log.`,
      )
    }
    this.#restartsMs.push(nowMs)
    this.#onRestart()
    // The ending thread lets go of the file; a new one could not lock it before.
    await this.#thread.ended
    const thread = new SqliteThread(this.#request)
    await thread.opened
    this.#thread = thread
  }
}
