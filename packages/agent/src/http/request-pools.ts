/** The connections over which an agent's JSON requests go: a pool for each mirror, given up as a whole when its path is dead. */
import { DownlinkError } from '@downlink/protocol'
import { ClientClosedError } from './connection-errors.ts'
import { ConnectionPool } from './connection-pool.ts'
import { connectorTo, type RequestContext } from './request-context.ts'

/** The pools, each from its first request on. */
export class RequestPools {
  readonly #context: RequestContext
  /** By the mirror's URL. */
  readonly #pools = new Map<string, ConnectionPool>()
  /** Those that take no new requests and end with their last one. */
  readonly #retired = new Set<ConnectionPool>()
  #isClosed = false

  constructor(context: RequestContext) {
    this.#context = context
  }

  of(mirror: URL): ConnectionPool {
    const known = this.#pools.get(mirror.href)
    if (known !== undefined) return known
    const pool = new ConnectionPool(connectorTo(this.#context, mirror))
    this.#pools.set(mirror.href, pool)
    if (this.#isClosed) void pool.destroy(new ClientClosedError())
    return pool
  }

  /** Lets requests under way over `pool` end, and has the next ones dial anew. */
  retire(pool: ConnectionPool): void {
    for (const [href, known] of this.#pools) if (known === pool) this.#retire(href, pool)
  }

  /** Retires the pools of all other mirrors. */
  keepOnly(mirrors: readonly URL[]): void {
    for (const [href, pool] of this.#pools) {
      if (!mirrors.some((mirror) => mirror.href === href)) this.#retire(href, pool)
    }
  }

  /** Ends every connection: requests under way fail as `connection_lost`, the next ones dial anew. */
  drop(): void {
    const error = new DownlinkError(
      'connection_lost',
      'The path to the hub is dead, so every connection over it was given up; what failed is tried again over a new one.',
      { retry: 'backoff' },
    )
    void this.#destroy(error)
    this.#pools.clear()
  }

  /** Ends every connection and every request, for good. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#destroy(new ClientClosedError())
  }

  async #destroy(error: Error): Promise<void> {
    await Promise.all([...this.#pools.values(), ...this.#retired].map((pool) => pool.destroy(error)))
  }

  #retire(href: string, pool: ConnectionPool): void {
    this.#pools.delete(href)
    this.#retired.add(pool)
    void pool.retire().then(() => this.#retired.delete(pool))
  }
}
