/**
 * The store's connection to its database: a thread that is started again when it has ended. One that ended by itself is
 * started a bounded number of times; one whose disk failed opens the database anew after a pause, for as long as it takes.
 */
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
  /** Since a failure of the disk: what failed, when the database may be opened again, ms, and the pause before that. */
  #failure: { readonly error: StoreError; readonly againAtMs: number; readonly pauseMs: number } | undefined

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
    const thread = this.#thread
    const answer = thread.request(kind, carries)
    onSent?.()
    try {
      const answered = await answer
      if (kind === 'commit') this.#failure = undefined
      return answered
    } catch (error) {
      this.#noteFailure(thread)
      throw error
    }
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

  /** Only a commit shows that a failure is over: each one before it doubles the pause. */
  #noteFailure({ failure: error }: SqliteThread): void {
    if (error === undefined || error === this.#failure?.error) return
    const pauseMs = Math.min(
      limits.STORE_REOPEN_MS_MAX,
      this.#failure === undefined ? limits.STORE_REOPEN_MS_MIN : 2 * this.#failure.pauseMs,
    )
    this.#failure = { error, pauseMs, againAtMs: this.#clock.monotonicMs() + pauseMs }
  }

  async #restart(): Promise<void> {
    if (this.#thread.failure === undefined) this.#countRestart()
    else this.#assertPaused()
    this.#onRestart()
    // The ending thread lets go of the file; a new one could not lock it before.
    await this.#thread.ended
    const thread = new SqliteThread(this.#request)
    try {
      await thread.opened
    } catch (error) {
      // Nothing was wrong with the database until this opening, so it is tried again like any other use of the disk.
      if (this.#failure !== undefined) {
        this.#thread = thread
        this.#noteFailure(thread)
      }
      throw error
    }
    this.#thread = thread
  }

  #assertPaused(): void {
    const waitMs = (this.#failure?.againAtMs ?? 0) - this.#clock.monotonicMs()
    if (this.#failure === undefined || waitMs <= 0) return
    const { code, message } = this.#failure.error
    throw new StoreError(
      code === 'outcome_unknown' ? 'store_failed' : code,
      `${message} The database is opened again in ${Math.ceil(waitMs)} ms.`,
    )
  }

  #countRestart(): void {
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
  }
}
