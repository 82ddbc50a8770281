/** One `node:http` server for both APIs: the agents' on bare handlers, everything else on Fastify. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { limits } from '@downlink/protocol'
import { AGENT_API_PREFIX, type AgentApi } from './http/agent-api.ts'
import { rawErrorReply } from './http/json-reply.ts'
import type { RequestFacts } from './http/request-facts.ts'
import type { RequestGuard } from './http/request-guard.ts'

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
  readonly guard: RequestGuard
  /** Called for every request that the hub answers, before it does. */
  readonly onRequest: (response: ServerResponse) => void
  /** Called for every request to the hub, refused ones too. */
  readonly follow: (request: IncomingMessage, response: ServerResponse, api: RequestFacts['api']) => void
  readonly agentApi: AgentApi
  readonly operatorApi: (request: IncomingMessage, response: ServerResponse) => void
}

const OPERATOR_PATHS = /^\/(?:api\/v1(?:\/|$)|healthz$|readyz$|metrics$|openapi\.json$|docs$)/

/** Makes the handler. It needs no server of its own. */
export function createHandler(options: HandlerOptions): Handler {
  const { basePath, guard, follow, onRequest, agentApi, operatorApi } = options
  return (request, response, next) => {
    const url = request.url ?? '/'
    const isOurs = basePath === '' || url === basePath || url.startsWith(`${basePath}/`)
    // Nothing of the hub is outside its base path, nor at its root.
    const ownUrl = isOurs ? url.slice(basePath.length) || '/' : '/'
    const path = ownUrl.split('?', 1)[0] ?? '/'
    const isAgents = isOurs && path.startsWith(AGENT_API_PREFIX)
    if (!isAgents && next !== undefined && !(isOurs && OPERATOR_PATHS.test(path))) {
      next()
      return
    }
    request.url = ownUrl
    follow(request, response, isAgents ? 'agents' : 'operators')
    guard(request, response, () => {
      onRequest(response)
      if (isAgents) agentApi(request, response, path)
      else operatorApi(request, response)
    })
  }
}

/** Bounds of a server's connections; by default those of the limits. */
export interface ServerBounds {
  readonly headersMs?: number
  readonly keepAliveMs?: number
  readonly connectionsMax?: number
}

/** A server with bounds on slow and large senders. A stream has no time limit: these end with its request's last byte. */
export function createHttpServer(handler: Handler, bounds: ServerBounds = {}): Server {
  const {
    headersMs = limits.REQUEST_HEADERS_MS_MAX,
    keepAliveMs = limits.KEEP_ALIVE_MS,
    connectionsMax = limits.CONNECTIONS_MAX,
  } = bounds
  const server = createServer(
    {
      headersTimeout: headersMs,
      requestTimeout: limits.REQUEST_RECEIVE_MS_MAX,
      connectionsCheckingInterval: Math.min(headersMs, limits.CONNECTIONS_CHECK_MS),
      maxHeaderSize: limits.REQUEST_HEADER_BYTES_MAX,
      keepAliveTimeout: keepAliveMs,
      // The guard answers it with a body that says what is missing.
      requireHostHeader: false,
      noDelay: true,
    },
    (request, response) => handler(request, response),
  )
  server.maxConnections = connectionsMax
  // Whatever a client expects, the reply says what it gets.
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) =>
    handler(request, response),
  )
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (socket.writable && error.code !== 'ECONNRESET') socket.end(rawErrorReply(error.code))
    else socket.destroy()
  })
  return server
}
