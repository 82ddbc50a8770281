/** Some connections to one hub, over which requests go one at a time each; those that are free are kept. */
import type { Connection } from './connection.ts'
import type { Dial } from './connector.ts'
import type { Reply, ReplyRequest, Requester } from './reply.ts'

/** JSON requests at once to one mirror; more wait, within their deadline. An agent has a sync and a wake under way, and little beside them. */
const CONNECTIONS_MAX = 4

/** A request that waits for its turn. */
interface Waiting {
  readonly go: () => void
  readonly fail: (error: unknown) => void
}

/** Connections made by one connector. */
export class ConnectionPool implements Requester {
  readonly #dial: Dial
  /** Aborted, with why, when the pool is destroyed. */
  readonly #destroyed = new AbortController()
  readonly #free: Connection[] = []
  readonly #busy = new Set<Connection>()
  readonly #waiting = new Set<Waiting>()
  /** Requests that have their turn, those that dial included. */
  #turns = 0
  #retired: PromiseWithResolvers<void> | undefined

  constructor(dial: Dial) {
    this.#dial = dial
  }

  /** Connections that are kept from earlier requests, and wait for one. */
  get free(): number {
    return this.#free.filter(({ isKept }) => isKept).length
  }

  async request(request: ReplyRequest): Promise<Reply> {
    const { signal } = request
    signal.throwIfAborted()
    this.#destroyed.signal.throwIfAborted()
    if (this.#turns < CONNECTIONS_MAX) this.#turns += 1
    else {
      await this.#turn(signal)
      // An abort may come after the turn and before it is taken.
      if (signal.aborted) this.#endTurn()
      signal.throwIfAborted()
    }
    const connection = this.#takeFree() ?? (await this.#connect(signal))
    this.#busy.add(connection)
    return connection.request(request)
  }

  /** Keeps no connection any more; resolves when the requests under way have ended. */
  retire(): Promise<void> {
    this.#retired ??= Promise.withResolvers()
    for (const connection of this.#free.splice(0)) void connection.destroy()
    if (this.#turns === 0) this.#retired.resolve()
    return this.#retired.promise
  }

  /** Ends every connection, and every request, those to come too, with `error`; resolves once the sockets are closed. */
  async destroy(error: Error): Promise<void> {
    this.#destroyed.abort(error)
    for (const waiting of this.#waiting) waiting.fail(error)
    const ended = [...this.#free.splice(0), ...this.#busy]
    await Promise.all(ended.map((connection) => connection.destroy(error)))
  }

  #takeFree(): Connection | undefined {
    for (let connection = this.#free.pop(); connection !== undefined; connection = this.#free.pop()) {
      if (connection.isKept) return connection
      void connection.destroy()
    }
    return undefined
  }

  async #connect(signal: AbortSignal): Promise<Connection> {
    const dialling = new AbortController()
    const ends = [signal, this.#destroyed.signal]
    const onAbort = (): void => dialling.abort(ends.find(({ aborted }) => aborted)?.reason)
    for (const end of ends) end.addEventListener('abort', onAbort, { once: true })
    try {
      for (const end of ends) end.throwIfAborted()
      const connection = await this.#dial(dialling.signal)
      if (dialling.signal.aborted) void connection.destroy()
      dialling.signal.throwIfAborted()
      connection.onFree = () => this.#onFree(connection)
      void connection.closed.then(() => this.#onClosed(connection))
      return connection
    } catch (error) {
      this.#endTurn()
      throw error
    } finally {
      for (const end of ends) end.removeEventListener('abort', onAbort)
    }
  }

  #onFree(connection: Connection): void {
    this.#busy.delete(connection)
    if (this.#retired === undefined) this.#free.push(connection)
    else void connection.destroy()
    this.#endTurn()
  }

  #onClosed(connection: Connection): void {
    const at = this.#free.indexOf(connection)
    if (at !== -1) this.#free.splice(at, 1)
    if (this.#busy.delete(connection)) this.#endTurn()
  }

  async #turn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiting = { go: resolve, fail: reject }
    const onAbort = (): void => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#waiting.add(waiting)
    try {
      await promise
    } finally {
      this.#waiting.delete(waiting)
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Hands the turn on to whoever waits for it longest. */
  #endTurn(): void {
    const [next] = this.#waiting
    if (next !== undefined) {
      this.#waiting.delete(next)
      next.go()
      return
    }
    this.#turns -= 1
    if (this.#turns === 0) this.#retired?.resolve()
  }
}
