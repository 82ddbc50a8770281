/** One `node:http` server for both APIs: the agents' on bare handlers, everything else on Fastify. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { limits } from '@downlink/protocol'
import { AGENT_API_PREFIX, type AgentApi } from './http/agent-api.ts'
import { createIsProxy, networkOf, type IsProxy } from './http/address.ts'
import { replyAlone, streamRequestClass, type IsStreamRequest } from './http/hand-over.ts'
import { rawErrorReply, TOO_MANY_CONNECTIONS } from './http/json-reply.ts'
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
    guard.admit(request, response, () => {
      onRequest(response)
      if (isAgents) agentApi(request, response, path)
      else operatorApi(request, response)
    })
  }
}

/** Bounds of a server's connections, by default those of the limits, and what else it is told. */
export interface ServerOptions {
  readonly headersMs?: number
  readonly keepAliveMs?: number
  readonly connectionsMax?: number
  readonly connectionsPerAddress?: number
  /** Whose connections are not counted by address. @defaultValue this machine's */
  readonly isProxy?: IsProxy
  /** Told of each connection that is refused because its address has too many. */
  readonly onRefused?: (address: string) => void
  /** Whether a request is for a stream that may have its connection to itself. @defaultValue none is */
  readonly isStream?: IsStreamRequest
}

/** Tells the requests for streams below `basePath` that may have their connection to themselves. */
export function createStreamRequests(basePath: string, guard: RequestGuard): IsStreamRequest {
  const path = `${basePath}${AGENT_API_PREFIX}events`
  return (request) =>
    request.method === 'GET' && request.url?.split('?', 1)[0] === path && guard.admitsAlone(request)
}

/** A server with bounds on slow and large senders. A stream has no time limit: these end with its request's last byte. */
export function createHttpServer(handler: Handler, options: ServerOptions = {}): Server {
  const {
    headersMs = limits.REQUEST_HEADERS_MS_MAX,
    keepAliveMs = limits.KEEP_ALIVE_MS,
    connectionsMax = limits.CONNECTIONS_MAX,
    isStream = () => false,
    connectionsPerAddress = limits.CONNECTIONS_PER_ADDRESS_MAX,
    isProxy = createIsProxy([]),
    onRefused = () => {},
  } = options
  function serve(request: IncomingMessage, response: ServerResponse): void {
    // What was sent along with a connection that is refused must not be done: its sender is told that it was not.
    if (!refused.has(request.socket)) handler(request, response)
  }
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
      IncomingMessage: streamRequestClass(isStream),
    },
    serve,
  )
  server.maxConnections = connectionsMax
  const refused = boundAddresses(server, connectionsPerAddress, isProxy, onRefused)
  // Whatever a client expects, the reply says what it gets.
  server.on('checkExpectation', serve)
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    if (head.length > limits.STREAM_INPUT_BYTES_MAX) socket.destroy()
    else serve(request, replyAlone(request, socket))
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (socket.writable && error.code !== 'ECONNRESET') socket.end(rawErrorReply(error.code))
    else socket.destroy()
  })
  return server
}

/** Refuses the connections of an address that has too many: one sender must not take them all. @returns those refused. */
function boundAddresses(
  server: Server,
  countMax: number,
  isProxy: IsProxy,
  onRefused: (address: string) => void,
): WeakSet<Socket> {
  const open = new Map<string, number>()
  const refused = new WeakSet<Socket>()
  server.on('connection', (socket) => {
    const { remoteAddress = '' } = socket
    if (isProxy(remoteAddress)) return
    const network = networkOf(remoteAddress)
    const count = (open.get(network) ?? 0) + 1
    if (count > countMax) {
      refused.add(socket)
      onRefused(remoteAddress)
      socket.end(TOO_MANY_CONNECTIONS, () => socket.destroy())
      return
    }
    open.set(network, count)
    socket.once('close', () => {
      const left = (open.get(network) ?? 1) - 1
      if (left === 0) open.delete(network)
      else open.set(network, left)
    })
  })
  return refused
}
