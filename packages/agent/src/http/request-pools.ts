/** The connections over which an agent's JSON requests go: a pool for each mirror, given up as a whole when its path is dead. */
import { DownlinkError } from '@downlink/protocol'
import { Pool } from './undici-parts.ts'
import { connectionOptions, type RequestContext } from './request-context.ts'

/** JSON requests at once to one mirror; more wait, within their deadline. An agent has a sync and a wake under way, and little beside them. */
const CONNECTIONS_MAX = 4

/** The pools, each from its first request on. */
export class RequestPools {
  readonly #context: RequestContext
  /** By the mirror's URL. */
  readonly #pools = new Map<string, Pool>()
  /** Those that take no new requests and end with their last one. */
  readonly #retired = new Set<Pool>()
  /** Ends the sockets that are still being connected, too: undici alone would let them go on. */
  readonly #dialling = new AbortController()

  constructor(context: RequestContext) {
    this.#context = context
  }

  of(mirror: URL): Pool {
    const known = this.#pools.get(mirror.href)
    if (known !== undefined) return known
    const pool = new Pool(mirror.origin, {
      ...connectionOptions(this.#context, mirror, this.#dialling.signal),
      connections: CONNECTIONS_MAX,
    })
    this.#pools.set(mirror.href, pool)
    if (this.#dialling.signal.aborted) void pool.destroy()
    return pool
  }

  /** Lets requests under way over `pool` end, and has the next ones dial anew. */
  retire(pool: Pool): void {
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
    for (const pool of [...this.#pools.values(), ...this.#retired]) void pool.destroy(error)
    this.#pools.clear()
  }

  /** Ends every connection and every request, for good. */
  async close(): Promise<void> {
    this.#dialling.abort()
    await Promise.all([...this.#pools.values(), ...this.#retired].map((pool) => pool.destroy()))
  }

  #retire(href: string, pool: Pool): void {
    this.#pools.delete(href)
    this.#retired.add(pool)
    void pool.close().finally(() => this.#retired.delete(pool))
  }
}
