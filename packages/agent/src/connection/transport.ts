/** What carries an agent's requests in the place of the network: the seam for tests in memory. */
import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'

/** One request, as it would go over the wire. */
export interface TransportRequest {
  /** Of the mirror, such as `http://hub.test`. */
  readonly origin: string
  readonly method: string
  /** With the base path of the agent API. */
  readonly path: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** Ends the request, and the body of its reply. */
  readonly signal: AbortSignal
}

/** The reply to it. */
export interface TransportReply {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Readable
}

/**
 * Carries requests. A rejection is a connection that failed; its `code`, such as `ECONNREFUSED`, is read as the
 * system's would be.
 */
export interface AgentTransport {
  request(request: TransportRequest): Promise<TransportReply>
}

/** What a request needs of undici. */
export interface Requester {
  request(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData>
}

/** `transport` to one origin, in the words of undici. */
export function requesterOf(
  transport: AgentTransport,
  origin: string,
): Requester & { destroy(): Promise<void> } {
  return {
    async request({ method, path, headers, body, signal }) {
      const reply = await transport.request({
        origin,
        method,
        path,
        headers: headers as Readonly<Record<string, string>>,
        body: typeof body === 'string' ? body : undefined,
        signal: signal as AbortSignal,
      })
      const readable = typeof reply.body === 'string' ? Readable.from([Buffer.from(reply.body)]) : reply.body
      return {
        statusCode: reply.status,
        headers: { ...reply.headers },
        body: readable,
      } as Dispatcher.ResponseData
    },
    destroy: () => Promise.resolve(),
  }
}
