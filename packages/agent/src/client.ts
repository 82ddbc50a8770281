/** The agent's end of the agent API: small JSON requests up, and the connection of the event stream down. */
import {
  field,
  limits,
  parseSyncReply,
  stringField,
  syncRequestToJson,
  type Clock,
  type Json,
  type JsonObject,
  type SyncReply,
  type SyncRequest,
} from '@downlink/protocol'
import { Pool } from 'undici'
import type { AgentBoot } from './boot.ts'
import { requestEvents, type EventsReply } from './connection/events-request.ts'
import { unusableReply } from './connection/http-failure.ts'
import { parseHubUrl } from './connection/hub-url.ts'
import { postJson } from './connection/json-request.ts'
import {
  connectionOptions,
  isHeaderText,
  preparePublicRequest,
  prepareRequest,
  type PreparedRequest,
  type RequestContext,
} from './connection/request-context.ts'

/** What an agent client needs. */
export interface AgentClientOptions {
  /** The hub's base URL; the agent API is below it. */
  readonly hub: string | URL
  /** Read for every request, so that a replaced key is used from then on. */
  readonly credential: () => string | undefined
  readonly boot: AgentBoot
  readonly clock: Clock
  /** Names the agent's journal to the hub whenever a stream opens; undefined for an agent without one. */
  readonly journalId?: () => string | undefined
  /** @defaultValue `downlink-agent` */
  readonly userAgent?: string
  /** Send the credential unencrypted to hosts other than this machine. @defaultValue false */
  readonly allowPlainHttp?: boolean
}

/** When to give up a request before its deadline. */
export interface RequestOptions {
  readonly signal?: AbortSignal
}

/** What an agent tells of itself. */
export interface RegisterRequest {
  readonly agentId: string
  readonly version?: string
  readonly name?: string
  readonly os?: string
  readonly arch?: string
  readonly labels?: Readonly<Record<string, string>>
}

/** A key in the reply replaces the one in use, and must be persisted before it is used. */
export interface RegisterReply {
  readonly agentKey?: string
  readonly user?: Json
  readonly features?: Json
}

/** An enrollment key to be exchanged for a credential. */
export interface KeyExchangeRequest {
  readonly authKey: string
  readonly agentId: string
  readonly hostname?: string
  readonly platform?: string
  /** The same id within ten minutes mints a replacement, so that a lost reply does not burn a single-use key. */
  readonly exchangeId?: string
}

/** The credential that an enrollment key was exchanged for. */
export interface KeyExchangeReply {
  readonly apiKey: string
  readonly userId?: string
  readonly apiUrl?: string
}

/**
 * Talks to one hub. Each request has one deadline from dialling to the last byte of its reply, `REQUEST_MS_MAX`, and
 * replies are bounded in headers, bytes and depth. No redirect is followed, no proxy variable read, no compression asked for.
 *
 * Requests throw HttpError for a reply that is not a success, DownlinkError for anything else that goes wrong on the
 * way, and the signal's reason when it aborts. No error holds a key.
 */
export interface AgentClient extends AsyncDisposable {
  /** The hub's base URL. */
  readonly hub: URL
  /** @internal */
  readonly clock: Clock
  register(request: RegisterRequest, options?: RequestOptions): Promise<RegisterReply>
  /** `request.boot` is filled in here, so that its counter grows by every request. */
  sync(request: SyncRequest, options?: RequestOptions): Promise<SyncReply>
  /** Needs no credential. */
  exchangeKey(request: KeyExchangeRequest, options?: RequestOptions): Promise<KeyExchangeReply>
  /** Says good-bye; takes at most `DEREGISTER_MS_MAX`. */
  deregister(request: { readonly agentId: string }, options?: RequestOptions): Promise<void>
  /** The connection that `openEventStream` reads. @internal */
  openEvents(signal: AbortSignal): Promise<EventsReply>
  /** Ends every connection, but for the event streams, and every request that is under way; may be called twice. */
  close(): Promise<void>
}

const KEY_CHARS_MAX = 4_096
/** JSON requests at once; more wait, within their deadline. An agent has one sync under way, and little beside it. */
const CONNECTIONS_MAX = 4

/**
 * Makes a client of one hub; dials nothing.
 * @throws DownlinkError `bad_hub_url` or `insecure_hub` for a URL that must not be dialled.
 * @throws TypeError if `userAgent` cannot stand in a header.
 */
export function createAgentClient(options: AgentClientOptions): AgentClient {
  const userAgent = options.userAgent ?? 'downlink-agent'
  if (!isHeaderText(userAgent)) {
    throw new TypeError('userAgent must be printable ASCII, such as "acme-agent/1.2.3".')
  }
  const context: RequestContext = {
    hub: parseHubUrl(options.hub, options.allowPlainHttp ?? false),
    clock: options.clock,
    boot: options.boot,
    userAgent,
    credential: options.credential,
    journalId: options.journalId ?? (() => undefined),
  }
  return new HubClient(context)
}

class HubClient implements AgentClient {
  readonly hub: URL
  readonly clock: Clock
  private readonly context: RequestContext
  private readonly pool: Pool
  /** Ends the sockets that are still being connected, too: undici alone would let them go on. */
  private readonly dialling = new AbortController()

  constructor(context: RequestContext) {
    this.hub = context.hub
    this.clock = context.clock
    this.context = context
    this.pool = new Pool(context.hub.origin, {
      ...connectionOptions(this.dialling.signal),
      connections: CONNECTIONS_MAX,
    })
  }

  async register(request: RegisterRequest, options: RequestOptions = {}): Promise<RegisterReply> {
    const prepared = prepareRequest(this.context, 'POST', 'register')
    const reply = await this.post(
      prepared,
      { ...request, ...this.context.boot.next() },
      limits.REQUEST_MS_MAX,
      options,
    )
    const agentKey = stringField(reply, 'agentKey', KEY_CHARS_MAX)
    const user = field(reply, 'user')
    const features = field(reply, 'features')
    return {
      ...(agentKey === undefined ? {} : { agentKey }),
      ...(user === undefined ? {} : { user }),
      ...(features === undefined ? {} : { features }),
    }
  }

  async sync(request: SyncRequest, options: RequestOptions = {}): Promise<SyncReply> {
    const prepared = prepareRequest(this.context, 'POST', 'sync')
    const body = syncRequestToJson({ ...request, boot: this.context.boot.next() })
    return parseSyncReply(await this.post(prepared, body, limits.REQUEST_MS_MAX, options))
  }

  async exchangeKey(request: KeyExchangeRequest, options: RequestOptions = {}): Promise<KeyExchangeReply> {
    const prepared = preparePublicRequest(this.context, 'POST', 'authkey/exchange', [request.authKey])
    const reply = await this.post(prepared, { ...request }, limits.REQUEST_MS_MAX, options)
    const apiKey = stringField(reply, 'apiKey', KEY_CHARS_MAX)
    if (apiKey === undefined) {
      throw unusableReply(
        prepared,
        200,
        'bad_reply',
        `it holds no apiKey. Check that ${this.hub.host} is a hub.`,
      )
    }
    const userId = stringField(reply, 'userId', limits.ID_CHARS_MAX)
    const apiUrl = stringField(reply, 'apiUrl', limits.MESSAGE_CHARS_MAX)
    return {
      apiKey,
      ...(userId === undefined ? {} : { userId }),
      ...(apiUrl === undefined ? {} : { apiUrl }),
    }
  }

  async deregister({ agentId }: { readonly agentId: string }, options: RequestOptions = {}): Promise<void> {
    const prepared = prepareRequest(this.context, 'POST', 'deregister')
    await this.post(prepared, { agentId, ...this.context.boot.next() }, limits.DEREGISTER_MS_MAX, options)
  }

  openEvents(signal: AbortSignal): Promise<EventsReply> {
    return requestEvents(this.context, signal)
  }

  async close(): Promise<void> {
    this.dialling.abort()
    await this.pool.destroy()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  private post(
    request: PreparedRequest,
    body: JsonObject,
    deadlineMs: number,
    options: RequestOptions,
  ): Promise<JsonObject> {
    return postJson(this.pool, this.clock, request, body, { ...options, deadlineMs })
  }
}
