/** What every request of an agent to its hub has in common: where it goes, who asks, and how the connection is made. */
import { DownlinkError, type Clock } from '@downlink/protocol'
import type { AgentBoot } from '../boot.ts'
import type { HubAnswer } from '../standing/hub-answer.ts'
import { createConnector, type AgentTls, type Dial } from './connector.ts'
import type { FailedRequest } from './http-failure.ts'
import type { Method } from './reply.ts'
import type { AgentTransport } from './transport.ts'

/** See the options of `createAgentClient` for the parts that a caller hands in. */
export interface RequestContext {
  readonly clock: Clock
  readonly tls: AgentTls
  /** In the place of sockets. */
  readonly transport: AgentTransport | undefined
  /** The proxy through which a hub is reached, or undefined. */
  proxyFor(hub: URL): URL | undefined
  readonly boot: AgentBoot
  readonly userAgent: string
  credential(): string | undefined
  journalId(): string | undefined
  /** Told of every answer to a call with the credential. */
  onAnswer(answer: HubAnswer): void
}

/** One request: what is asked, and the headers that every request carries. */
export interface PreparedRequest extends FailedRequest {
  readonly method: Method
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

const BASE_PATH = '/api/internal/agent'

/**
 * A request of `endpoint` of `hub`, a base URL without a slash at its end, with the credential.
 * @throws DownlinkError `no_credential` or `bad_credential`, before anything is dialled.
 */
export function prepareRequest(
  context: RequestContext,
  hub: URL,
  method: Method,
  endpoint: string,
): PreparedRequest {
  const credential = checkedCredential(context.credential())
  const bare = preparePublicRequest(context, hub, method, endpoint, [credential])
  return { ...bare, headers: { ...bare.headers, authorization: `Bearer ${credential}` } }
}

/** A request of `endpoint` without a credential; `secrets` are those in its body. */
export function preparePublicRequest(
  context: RequestContext,
  hub: URL,
  method: Method,
  endpoint: string,
  secrets: readonly string[],
): PreparedRequest {
  return {
    name: `${method} ${endpoint} at ${hub.host}`,
    secrets,
    method,
    path: `${hub.pathname.replace(/\/$/, '')}${BASE_PATH}/${endpoint}`,
    // A compressed stream is held back by whoever compresses it, and a compressed body may unpack to any size.
    headers: { 'user-agent': context.userAgent, 'accept-encoding': 'identity' },
  }
}

/** The headers of a request without a body that tell which start of the agent asks, and of which journal. */
export function bootHeaders(context: RequestContext): Record<string, string> {
  const { bootNonce, connectCounter } = context.boot.next()
  const id = context.journalId()
  return {
    'downlink-boot': bootNonce,
    'downlink-connect': String(connectCounter),
    ...(id === undefined ? {} : { 'downlink-journal': id }),
  }
}

/** How connections to `hub` are made. */
export function connectorTo(context: RequestContext, hub: URL): Dial {
  const { clock, tls } = context
  return createConnector({ clock, hub, proxy: context.proxyFor(hub), tls })
}

/** Whether `text` can stand in a header as it is. */
export function isHeaderText(text: string): boolean {
  return /^[\x20-\x7e]+$/.test(text)
}

function checkedCredential(credential: string | undefined): string {
  if (credential === undefined || credential === '') {
    throw new DownlinkError(
      'no_credential',
      'The agent has no credential yet. Enroll it: exchange an enrollment key for one.',
      { retry: 'never' },
    )
  }
  if (!/^[\x21-\x7e]+$/.test(credential)) {
    throw new DownlinkError(
      'bad_credential',
      "The agent's credential has characters that no header can carry. Read it again from where it is kept, without line ends.",
      { retry: 'never' },
    )
  }
  return credential
}
