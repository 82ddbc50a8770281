/** Writes the JSON replies of the agent API, which is on bare `node:http`. */
import type { ServerResponse } from 'node:http'
import { ERROR_CODES, limits } from '@downlink/protocol'
import { errorBody, errorHeaders, type HubError } from '../hub-error.ts'
import { factsOf } from './request-facts.ts'

/** Sends `value`; resolves when the socket has taken the bytes, and also when it is gone. */
export function replyJson(response: ServerResponse, status: number, value: unknown): Promise<boolean> {
  return new Promise((resolve) => {
    if (response.destroyed) {
      resolve(false)
      return
    }
    const body = Buffer.from(JSON.stringify(value))
    response.once('finish', () => resolve(true))
    response.once('close', () => resolve(false))
    response.writeHead(status, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': body.length,
      'Cache-Control': 'no-store',
    })
    response.end(body)
  })
}

/** Sends an error, unless a reply has begun: then the connection is cut, as its reader cannot be told. */
export function replyError(response: ServerResponse, error: HubError): void {
  if (response.headersSent || response.destroyed) {
    response.destroy()
    return
  }
  factsOf(response).code = error.code
  for (const [name, value] of Object.entries(errorHeaders(error))) response.setHeader(name, value)
  // What is left of a refused body is not worth reading.
  if (!response.req.complete) response.setHeader('Connection', 'close')
  void replyJson(response, error.status, errorBody(error))
}

/** The raw reply to bytes that are no request, or came too slowly, for Node's `clientError`. */
export function rawErrorReply(code: string | undefined): string {
  const [status, reason, error, message] =
    code === 'HPE_HEADER_OVERFLOW'
      ? [
          ERROR_CODES.headers_too_large.status,
          'Request Header Fields Too Large',
          'headers_too_large',
          `The headers are larger than ${limits.REQUEST_HEADER_BYTES_MAX} bytes. Send fewer.`,
        ]
      : code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW'
        ? [413, 'Content Too Large', 'body_too_large', 'The extensions of a chunk are too large. Send none.']
        : code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? [408, 'Request Timeout', 'request_timeout', 'The request came too slowly. Send it again.']
          : [400, 'Bad Request', 'bad_request', 'This is not an HTTP request that can be read. Correct it.']
  return rawReply(`${status} ${reason}`, error, message)
}

/** The raw reply to a connection of an address that has too many. */
export const TOO_MANY_CONNECTIONS: string = rawReply(
  '503 Service Unavailable\r\nRetry-After: 5',
  'too_many_waiters',
  'This address has too many connections to this hub. Close some, or connect again later.',
)

function rawReply(head: string, error: string, message: string): string {
  const body = JSON.stringify({ error, message })
  return `HTTP/1.1 ${head}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
}
