/** One `node:http` server for both APIs: the agents' on bare handlers, everything else on Fastify. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { limits } from '@downlink/protocol'
import { AGENT_API_PREFIX, type AgentApi } from './http/agent-api.ts'
import { rawErrorReply } from './http/json-reply.ts'

/** Answers a request, or hands on what is not the hub's. */
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  next?: (error?: unknown) => void,
) => void

/** What the handler chooses from. */
export interface HandlerOptions {
  /** Stands before every path of the hub; empty if it has the server to itself. */
  readonly basePath: string
  readonly agentApi: AgentApi
  readonly operatorApi: (request: IncomingMessage, response: ServerResponse) => void
}

const OPERATOR_PATHS = /^\/(?:api\/v1(?:\/|$)|healthz$|readyz$)/

/** Makes the handler. It needs no server of its own. */
export function createHandler(options: HandlerOptions): Handler {
  const { basePath, agentApi, operatorApi } = options
  return (request, response, next) => {
    const url = request.url ?? '/'
    const isOurs = basePath === '' || url === basePath || url.startsWith(`${basePath}/`)
    if (isOurs && basePath !== '') request.url = url.slice(basePath.length) || '/'
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/'
    if (isOurs && path.startsWith(AGENT_API_PREFIX)) agentApi(request, response, path)
    else if (next === undefined || (isOurs && OPERATOR_PATHS.test(path))) operatorApi(request, response)
    else {
      request.url = url
      next()
    }
  }
}

/** A server with bounds on slow and large senders. A stream has no time limit: these end with its request's last byte. */
export function createHttpServer(handler: Handler): Server {
  const server = createServer(
    {
      headersTimeout: limits.REQUEST_HEADERS_MS_MAX,
      requestTimeout: limits.REQUEST_RECEIVE_MS_MAX,
      maxHeaderSize: limits.REQUEST_HEADER_BYTES_MAX,
      keepAliveTimeout: limits.KEEP_ALIVE_MS,
      noDelay: true,
    },
    (request, response) => handler(request, response),
  )
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (socket.writable && error.code !== 'ECONNRESET') socket.end(rawErrorReply(error.code))
    else socket.destroy()
  })
  return server
}
