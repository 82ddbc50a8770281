/** Answers web requests, as Next and Hono have them, by an HTTP connection inside this process: every bound and code of `node:http` holds. */
import { once } from 'node:events'
import { request as httpRequest, type ClientRequest, type IncomingMessage, type Server } from 'node:http'
import { duplexPair, type Duplex } from 'node:stream'
import { errorBody, HubError } from '../hub-error.ts'
import { AGENT_API_PREFIX } from './agent-api.ts'

/** Answers a web request; what stands behind a `Request` is ignored, as frameworks hand their handlers more than that. */
export type Fetch = (input: Request | URL | string, init?: RequestInit) => Promise<Response>

/** Of the connection between the caller and the server around the hub, which has taken them in (RFC 9110, 7.6.1). */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

const NULL_BODY_STATUSES: ReadonlySet<number> = new Set([204, 205, 304])

/**
 * Makes the function.
 * @param server - need not listen.
 * @param basePath - of the hub.
 */
export function createInProcessFetch(server: Server, basePath: string): Fetch {
  return async (input, init) => {
    const request = typeof input === 'string' || input instanceof URL ? new Request(input, init) : input
    const { pathname } = new URL(request.url)
    if (pathname === `${basePath}${AGENT_API_PREFIX}events`) return streamRefusal()
    request.signal.throwIfAborted()
    try {
      return responseOf(await exchange(server, request))
    } catch (error) {
      // Whatever broke because of the abort, the abort is the cause.
      request.signal.throwIfAborted()
      throw error
    }
  }
}

/** What is held open for hours does not fit the handlers of such frameworks: they end it, or their platform does. */
function streamRefusal(): Response {
  const error = new HubError(
    'not_supported_here',
    'This hub answers by hub.fetch, which holds no stream of an agent. Agents of the mode "auto" ask by long-poll instead; for a stream give the hub a server with hub.listen or hub.handler.',
  )
  return Response.json(errorBody(error), { status: error.status, headers: { 'Cache-Control': 'no-store' } })
}

function exchange(server: Server, request: Request): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const [near, far] = connectedPair()
  const url = new URL(request.url)
  const sent = httpRequest({
    createConnection: () => near,
    method: request.method,
    path: `${url.pathname}${url.search}`,
    headers: [...headersOf(request, url)].flat(),
    signal: request.signal,
  })
  sent.once('response', (reply) => {
    // What is left of a refused body is not worth reading.
    reply.once('close', () => near.destroy())
    resolve(reply)
  })
  sent.on('error', reject)
  server.emit('connection', far)
  sendBody(sent, request.body).catch((error: unknown) => {
    // A reply that is there already says why the body was not wanted.
    sent.destroy(error instanceof Error ? error : new Error('The body of the request broke off.'))
  })
  return promise
}

/** Two ends of a connection of which each is gone when the other is. */
function connectedPair(): readonly [Duplex, Duplex] {
  const [near, far] = duplexPair()
  near.once('close', () => far.destroy())
  far.once('close', () => {
    near.destroy(far.writableFinished ? undefined : new Error('The hub has cut the connection.'))
  })
  return [near, far]
}

function* headersOf(request: Request, url: URL): Generator<readonly [string, string]> {
  yield ['host', url.host]
  for (const [name, value] of request.headers) if (!CONNECTION_HEADERS.has(name)) yield [name, value]
  // What was announced to somebody else may not be what comes.
  if (request.body !== null) yield ['transfer-encoding', 'chunked']
  else if (request.method !== 'GET' && request.method !== 'HEAD') yield ['content-length', '0']
}

async function sendBody(sent: ClientRequest, body: Request['body']): Promise<void> {
  if (body !== null) {
    const closed = new Promise((resolve) => sent.once('close', resolve))
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      if (!sent.write(chunk)) await Promise.race([once(sent, 'drain'), closed])
      if (sent.destroyed) return
    }
  }
  sent.end()
}

function responseOf(reply: IncomingMessage): Response {
  const headers = new Headers()
  for (const [name, values] of Object.entries(reply.headersDistinct)) {
    if (name === 'content-length' || !CONNECTION_HEADERS.has(name)) {
      for (const value of values ?? []) headers.append(name, value)
    }
  }
  const status = reply.statusCode ?? 500
  if (!NULL_BODY_STATUSES.has(status)) return new Response(bodyOf(reply), { status, headers })
  reply.resume()
  return new Response(null, { status, headers })
}

/** Reads on only when it is asked for more, so that a reader who stands still is one for the hub too. */
function bodyOf(reply: IncomingMessage): ReadableStream<Uint8Array> {
  const chunks = (reply as AsyncIterable<Buffer>)[Symbol.asyncIterator]()
  return new ReadableStream(
    {
      async pull(controller) {
        const chunk = await chunks.next()
        if (chunk.done === true) controller.close()
        else controller.enqueue(new Uint8Array(chunk.value))
      },
      cancel: () => void reply.destroy(),
    },
    { highWaterMark: 0 },
  )
}
