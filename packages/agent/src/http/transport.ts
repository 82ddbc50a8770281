/** What carries an agent's requests in the place of the network: the seam for tests in memory. */
import { finished, Readable } from 'node:stream'
import { ReplyBody } from './reply-body.ts'
import type { Requester } from './reply.ts'

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

/** `transport` to one origin, as if it were sockets. */
export function requesterOf(transport: AgentTransport, origin: string): Requester {
  return {
    async request({ method, path, headers, body, signal }) {
      const reply = await transport.request({ origin, method, path, headers, body, signal })
      return { statusCode: reply.status, headers: { ...reply.headers }, body: bodyOf(reply) }
    },
  }
}

function bodyOf({ body: content }: TransportReply): ReplyBody {
  const readable = typeof content === 'string' ? Readable.from([Buffer.from(content)]) : content
  const body = new ReplyBody({
    pause: () => readable.pause(),
    resume: () => readable.resume(),
    abort: () => readable.destroy(),
  })
  readable.on('data', (chunk: Uint8Array) => body.push(chunk))
  finished(readable, (error) => body.finish(error === undefined || error === null ? {} : { error }))
  return body
}
