/** The agent's end of the agent API: small JSON requests up, and the connection of the event stream down. */
import {
  DownlinkError,
  field,
  limits,
  parseSyncReply,
  syncRequestToJson,
  systemClock,
  systemRandom,
  type Boot,
  type Clock,
  type JsonObject,
  type Random,
  type SyncReply,
  type SyncRequest,
} from '@downlink/protocol'
import {
  keyExchangeReplyOf,
  registerReplyOf,
  type KeyExchangeReply,
  type KeyExchangeRequest,
  type RegisterReply,
  type RegisterRequest,
  type RequestOptions,
} from './agent-calls.ts'
import { createBoot, type AgentBoot } from './boot.ts'
import type { AgentTls } from './http/connector.ts'
import { requestEvents, type EventsReply } from './stream/events-request.ts'
import { unusableReply } from './http/http-failure.ts'
import { requestJson } from './http/json-request.ts'
import { proxyFor } from './http/proxy.ts'
import {
  bootHeaders,
  isHeaderText,
  preparePublicRequest,
  prepareRequest,
  type PreparedRequest,
  type RequestContext,
} from './http/request-context.ts'
import { RequestPools } from './http/request-pools.ts'
import { withoutStaleConnection } from './http/stale-connection.ts'
import { requesterOf, type AgentTransport } from './http/transport.ts'
import { MirrorList, type MirrorPool } from './mirror/mirror-pool.ts'
import { tellAnswer, type HubAnswer } from './standing/hub-answer.ts'
import type { HubCall } from './standing/standing-machine.ts'
import { tryMirrors, type MirrorCall, type MirrorTry } from './mirror/try-mirrors.ts'

/** What an agent client needs. */
export interface AgentClientOptions {
  /**
   * Base URLs of the hub, the agent API below each; the first is home, the others are mirrors of it (see
   * {@link MirrorPool}). All of them are sent the credential.
   */
  readonly hubs: readonly (string | URL)[]
  /** Read for every request, so that a replaced key is used from then on. */
  readonly credential: () => string | undefined
  /** This start of the process; hand the same to every client of one. @defaultValue one of this client's own */
  readonly boot?: AgentBoot
  /** @defaultValue the clock of this machine */
  readonly clock?: Clock
  /** Names the agent's journal to the hub whenever a stream opens; undefined for an agent without one. */
  readonly journalId?: () => string | undefined
  /** @defaultValue `downlink-agent` */
  readonly userAgent?: string
  /** Send the credential unencrypted to hosts other than this machine. @defaultValue false */
  readonly allowPlainHttp?: boolean
  /**
   * The proxy through which hubs on https are reached, by a tunnel; false for none. Hubs on http are never reached
   * through one. @defaultValue that of the variables `https_proxy` or `HTTPS_PROXY`, but for hosts in `no_proxy` or
   * `NO_PROXY` and this machine
   */
  readonly proxy?: false | string | URL
  readonly tls?: AgentTls
  /** Carries the requests in the place of the network; for tests. @defaultValue sockets */
  readonly transport?: AgentTransport
  /** @defaultValue the random source of this machine */
  readonly random?: Random
  /** Told of every answer to a call with the credential. @internal */
  readonly onAnswer?: (answer: HubAnswer) => void
}

/**
 * Talks to one hub, at the first of its mirrors that answers. Each request has one deadline from dialling to the last
 * byte of its reply, `REQUEST_MS_MAX`, shared out among the mirrors that it tries, and replies are bounded in headers,
 * bytes and depth. No redirect is followed, no compression asked for.
 *
 * Requests throw HttpError for a reply that is not a success, DownlinkError for anything else that goes wrong on the
 * way, and the signal's reason when it aborts. No error holds a key.
 *
 * Requests go over connections that are kept. One that is lost on such a connection before the headers of its reply came
 * is sent once more over a new connection, but for an exchange without an `exchangeId`: all others may be repeated.
 */
export interface AgentClient extends AsyncDisposable {
  readonly mirrors: MirrorPool
  /** @internal */
  readonly clock: Clock
  register(request: RegisterRequest, options?: RequestOptions): Promise<RegisterReply>
  /** `request.boot` is filled in here, so that its counter grows by every request. */
  sync(request: SyncRequest, options?: RequestOptions): Promise<SyncReply>
  /** Needs no credential. */
  exchangeKey(request: KeyExchangeRequest, options?: RequestOptions): Promise<KeyExchangeReply>
  /**
   * Resolves to true as soon as there is something to fetch, to false when there was nothing for as long as the hub
   * holds the question, up to `WAKE_HOLD_MS_MAX`.
   */
  wake(options?: RequestOptions): Promise<boolean>
  /** Says good-bye; takes at most `DEREGISTER_MS_MAX`. */
  deregister(request: { readonly agentId: string }, options?: RequestOptions): Promise<void>
  /** The connection that `openEventStream` reads. @internal */
  openEvents(signal: AbortSignal, deadlineMs: number): Promise<EventsReply>
  /**
   * Ends every connection, but for the event streams, as the path is dead: requests under way fail, and the next ones
   * look the name up and dial anew. @internal
   */
  dropConnections(): void
  /** Ends every connection, but for the event streams, and every request that is under way; may be called twice. */
  close(): Promise<void>
}

/**
 * Makes a client of one hub; dials nothing.
 * @throws DownlinkError `bad_hub_url` or `insecure_hub` for a URL that must not be dialled, `bad_proxy_url`.
 * @throws TypeError if `userAgent` cannot stand in a header.
 */
export function createAgentClient(options: AgentClientOptions): AgentClient {
  const userAgent = options.userAgent ?? 'downlink-agent'
  if (!isHeaderText(userAgent)) {
    throw new TypeError('userAgent must be printable ASCII, such as "acme-agent/1.2.3".')
  }
  return new HubClient(options, {
    clock: options.clock ?? systemClock,
    boot: options.boot ?? createBoot(),
    userAgent,
    tls: options.tls ?? {},
    transport: options.transport,
    proxyFor: (hub) => proxyFor(hub, options.proxy, process.env),
    credential: options.credential,
    journalId: options.journalId ?? (() => undefined),
    onAnswer: options.onAnswer ?? (() => undefined),
  })
}

class HubClient implements AgentClient {
  readonly clock: Clock
  readonly mirrors: MirrorList
  private readonly context: RequestContext
  readonly pools: RequestPools

  constructor(options: AgentClientOptions, context: RequestContext) {
    this.clock = context.clock
    this.context = context
    this.pools = new RequestPools(context)
    this.mirrors = new MirrorList({
      urls: options.hubs,
      allowPlainHttp: options.allowPlainHttp ?? false,
      clock: context.clock,
      random: options.random ?? systemRandom,
      onReplaced: (urls) => this.pools.keepOnly(urls),
    })
    // A proxy that cannot be used is said here, and not by every call.
    for (const hub of this.mirrors.urls) context.proxyFor(hub)
  }

  async register(request: RegisterRequest, options: RequestOptions = {}): Promise<RegisterReply> {
    return registerReplyOf(await this.post('register', options, (boot) => ({ ...request, ...boot })))
  }

  async sync(request: SyncRequest, options: RequestOptions = {}): Promise<SyncReply> {
    return parseSyncReply(await this.post('sync', options, (boot) => syncRequestToJson({ ...request, boot })))
  }

  exchangeKey(request: KeyExchangeRequest, options: RequestOptions = {}): Promise<KeyExchangeReply> {
    const attempt = async (one: MirrorTry): Promise<KeyExchangeReply> => {
      const { mirror } = one
      const secrets = [request.authKey]
      const prepared = preparePublicRequest(this.context, mirror, 'POST', 'authkey/exchange', secrets)
      return keyExchangeReplyOf(prepared, await this.request(prepared, { ...request }, one, options))
    }
    // Without an id the hub cannot tell a repetition from a second exchange, which burns the key.
    const repeatable = request.exchangeId === undefined ? attempt : this.repeatable(attempt)
    return this.call('public', limits.REQUEST_MS_MAX, { maySeekHome: true }, options, repeatable)
  }

  wake(options: RequestOptions = {}): Promise<boolean> {
    const held = { isHeld: true, maySeekHome: false }
    const attempt = async (one: MirrorTry): Promise<boolean> => {
      const prepared = prepareRequest(this.context, one.mirror, 'GET', 'wake')
      const headers = { ...prepared.headers, ...bootHeaders(this.context) }
      const wake = field(await this.request({ ...prepared, headers }, undefined, one, options), 'wake')
      if (typeof wake === 'boolean') return wake
      throw unusableReply(prepared, 200, 'bad_reply', 'it says neither that there is something nor nothing.')
    }
    return this.call('wake', limits.WAKE_MS_MAX, held, options, this.repeatable(attempt))
  }

  async deregister({ agentId }: { readonly agentId: string }, options: RequestOptions = {}): Promise<void> {
    await this.post('deregister', options, (boot) => ({ agentId, ...boot }), limits.DEREGISTER_MS_MAX)
  }

  openEvents(signal: AbortSignal, deadlineMs: number): Promise<EventsReply> {
    return this.call('events', deadlineMs, { maySeekHome: false }, { signal }, (one) =>
      requestEvents(this.context, one, signal),
    )
  }

  dropConnections(): void {
    this.pools.drop()
  }

  close(): Promise<void> {
    return this.pools.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Each try has a boot counter of its own. */
  private post(
    endpoint: 'register' | 'sync' | 'deregister',
    options: RequestOptions,
    body: (boot: Boot) => JsonObject,
    deadlineMs: number = limits.REQUEST_MS_MAX,
  ): Promise<JsonObject> {
    const attempt = (one: MirrorTry): Promise<JsonObject> => {
      const prepared = prepareRequest(this.context, one.mirror, 'POST', endpoint)
      return this.request(prepared, body(this.context.boot.next()), one, options)
    }
    return this.call(endpoint, deadlineMs, { maySeekHome: true }, options, this.repeatable(attempt))
  }

  /** `attempt`, which may be repeated: not failed by a connection that died while it was kept. */
  private repeatable<T>(attempt: (one: MirrorTry) => Promise<T>): (one: MirrorTry) => Promise<T> {
    if (this.context.transport !== undefined) return attempt
    return (one) => withoutStaleConnection(this, one, attempt)
  }

  /** @param name - `public` for a call without the credential. */
  private call<T>(
    name: HubCall | 'public',
    deadlineMs: number,
    how: Pick<MirrorCall, 'maySeekHome' | 'isHeld'>,
    options: RequestOptions,
    attempt: (one: MirrorTry) => Promise<T>,
  ): Promise<T> {
    const tried = { mirrors: this.mirrors, clock: this.clock, deadlineMs, ...how, ...options }
    if (name === 'public') return tryMirrors(tried, attempt)
    return tryMirrors(tried, (one) => tellAnswer(this.context, name, one.mirror, () => attempt(one)))
  }

  private request(
    prepared: PreparedRequest,
    body: JsonObject | undefined,
    { mirror, deadlineMs, answered }: MirrorTry,
    options: RequestOptions,
  ): Promise<JsonObject> {
    const within = { ...options, deadlineMs, answered }
    const { transport } = this.context
    if (transport !== undefined) {
      return requestJson(requesterOf(transport, mirror.origin), this.clock, prepared, body, within)
    }
    const pool = this.pools.of(mirror)
    return requestJson(pool, this.clock, prepared, body, within).catch((error: unknown) => {
      // Its other connections may be as dead as the one that was silent, and each would cost another deadline.
      if (error instanceof DownlinkError && error.code === 'timed_out') this.pools.retire(pool)
      throw error
    })
  }
}
