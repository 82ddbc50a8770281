/** One life of the database thread, seen from the store: requests out, answers in, and an end that answers all that is left. */
import { Worker } from 'node:worker_threads'
import type { FailureCode } from './sqlite-failure.ts'
import { OPENING_ID } from './sqlite-protocol.ts'
import type { Exchanges, Kind, Opened, OpenRequest, Reply } from './sqlite-protocol.ts'
import { StoreError } from './store.ts'

interface Waiting {
  /** What it means for the request if the thread ends before the answer. */
  readonly ifLost: FailureCode
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: Error) => void
}

/** A running database thread. */
export class SqliteThread {
  readonly #file: string
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #ended = Promise.withResolvers<void>()
  #lastId = OPENING_ID
  #alive = true
  #failure: StoreError | undefined
  /** Resolves once the database is open. */
  readonly opened: Promise<Opened>

  constructor(request: OpenRequest) {
    this.#file = request.file
    // The file beside this one: TypeScript in the workspace, JavaScript once built.
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#worker = new Worker(new URL(`./sqlite-worker.${extension}`, import.meta.url), {
      name: 'downlink-sqlite',
      workerData: request,
      // Not the process's own: the thread needs none of them, and some (--input-type) do not suit a file. Node 22 warns of SQLite.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    })
    this.opened = new Promise((resolve, reject) => {
      this.#waiting.set(OPENING_ID, {
        ifLost: 'store_unavailable',
        resolve: (answer) => resolve(answer as Opened),
        reject,
      })
    })
    this.#worker.on('message', (reply: Reply) => this.#onReply(reply))
    this.#worker.on('error', (error) => this.#onEnd(error))
    this.#worker.on('exit', () => {
      this.#onEnd()
      this.#ended.resolve()
    })
  }

  /** Whether requests can be sent. */
  get alive(): boolean {
    return this.#alive
  }

  /** What the thread failed at, if it ended because the database must be opened anew. */
  get failure(): StoreError | undefined {
    return this.#failure
  }

  /** Resolves when the thread has ended. */
  get ended(): Promise<void> {
    return this.#ended.promise
  }

  /**
   * Sends a request before it returns, and resolves with the answer.
   * @throws StoreError
   */
  request<K extends Kind>(kind: K, carries: Exchanges[K]['carries']): Promise<Exchanges[K]['answer']> {
    return new Promise((resolve, reject) => {
      if (!this.#alive) throw this.#lost('store_unavailable')
      const id = ++this.#lastId
      this.#waiting.set(id, {
        ifLost: kind === 'commit' ? 'outcome_unknown' : 'store_unavailable',
        resolve: (answer) => resolve(answer as Exchanges[K]['answer']),
        reject,
      })
      this.#worker.postMessage({ id, kind, ...carries })
    })
  }

  #onReply(reply: Reply): void {
    if (reply.last) this.#alive = false
    const waiting = this.#waiting.get(reply.id)
    this.#waiting.delete(reply.id)
    if ('answer' in reply) {
      waiting?.resolve(reply.answer)
      return
    }
    const error = new StoreError(reply.failure.code, reply.failure.message)
    if (reply.last) this.#failure = error
    waiting?.reject(error)
  }

  #onEnd(error?: unknown): void {
    this.#alive = false
    for (const { ifLost, reject } of this.#waiting.values()) reject(this.#lost(ifLost, error))
    this.#waiting.clear()
  }

  #lost(code: FailureCode, error?: unknown): StoreError {
    const consequence =
      code === 'outcome_unknown'
        ? 'Nobody can tell whether this change was stored: read before you write again.'
        : 'Nothing was stored: try again.'
    return new StoreError(code, `The database thread of ${this.#file} ended. ${consequence}`, error)
  }
}
