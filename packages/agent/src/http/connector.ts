/** Makes the connections of an agent: directly or through a proxy's tunnel, within one deadline, over TLS with its trust. */
import { limits, type Clock } from '@downlink/protocol'
import type { ClientRequest } from 'node:http'
import { isIP, type Socket } from 'node:net'
import { getCACertificates, TLSSocket } from 'node:tls'
import type { buildConnector as connectors } from 'undici'
import { buildConnector, errors } from './undici-parts.ts'
import { lookUp } from './lookup.ts'
import { proxyAuthorization } from './proxy.ts'
import { boundTunnel, SocketReader, type ByteBound } from './socket-reader.ts'

/** What TLS connections trust and show, beyond the defaults of this machine. */
export interface AgentTls {
  /** Certificates, PEM, of authorities that are trusted beside those of the machine. */
  readonly extraCa?: string | readonly string[]
  /** The client certificate and its key, PEM, for servers that ask for one. */
  readonly cert?: string
  readonly key?: string
}

/** What a connector needs. */
export interface ConnectorOptions {
  readonly clock: Clock
  /** Destroys the sockets, those that are still being connected too. */
  readonly signal: AbortSignal
  readonly proxy: URL | undefined
  readonly tls: AgentTls
  readonly onConnected?: (bound: ByteBound) => void
}

/** The proxy cannot be reached, or refuses the tunnel. */
export class ProxyError extends Error {
  readonly code = 'ERR_PROXY'
}

/** What a connection that took too long was waiting for. */
type DialStep = 'name' | 'connection' | 'handshake'

/** A connection took too long; its code says at which step. */
export class DialTimeoutError extends Error {
  readonly code: 'ERR_NAME_TIMEOUT' | 'ERR_CONNECT_TIMEOUT' | 'ERR_TLS_TIMEOUT'

  constructor(step: DialStep) {
    super(`There was no ${step} within ${limits.CONNECT_MS_MAX} ms.`)
    const codes = {
      name: 'ERR_NAME_TIMEOUT',
      connection: 'ERR_CONNECT_TIMEOUT',
      handshake: 'ERR_TLS_TIMEOUT',
    } as const
    this.code = codes[step]
  }
}

type Connect = connectors.connector
type ConnectOptions = Parameters<Connect>[0]
type ConnectCallback = Parameters<Connect>[1]

/** What undici calls for every connection: name look-up, TCP, the proxy's tunnel and TLS within `CONNECT_MS_MAX` together. */
export function createConnector(options: ConnectorOptions): Connect {
  const { clock, signal, proxy, tls } = options
  const trust = {
    ...tlsOptions(tls),
    allowH2: false,
    timeout: 0,
    lookup: lookUp,
    autoSelectFamilyAttemptTimeout: limits.CONNECT_ADDRESS_MS,
  }
  let session: Buffer | undefined
  return (wanted, callback) => {
    const reader = new SocketReader()
    const connect = buildConnector({
      ...trust,
      onread: reader.onread,
      ...(session === undefined ? {} : { session }),
    })
    const dialling = new AbortController()
    const onAbort = (): void => dialling.abort(new errors.ClientDestroyedError())
    let step: DialStep = proxy === undefined && isIP(wanted.hostname) === 0 ? 'name' : 'connection'
    const watch = (socket: Socket): void => {
      socket.once('lookup', () => (step = 'connection'))
      if (wanted.protocol === 'https:') socket.once('connect', () => (step = 'handshake'))
    }
    const timer = clock.setTimer(limits.CONNECT_MS_MAX, () => dialling.abort(new DialTimeoutError(step)))
    const settle: ConnectCallback = (...result) => {
      timer.cancel()
      const [error, socket] = result
      if (error !== null) {
        signal.removeEventListener('abort', onAbort)
        // Whatever broke because of the abort, the abort is the cause.
        callback(dialling.signal.aborted ? (dialling.signal.reason as Error) : error, null)
        return
      }
      socket.once('close', () => signal.removeEventListener('abort', onAbort))
      if (socket instanceof TLSSocket) socket.on('session', (made: Buffer) => (session = made))
      options.onConnected?.(proxy === undefined ? reader : boundTunnel(socket))
      callback(null, socket)
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    if (proxy === undefined) {
      const socket = dialDirectly(connect, wanted, dialling.signal, settle)
      watch(socket)
      reader.attach(socket)
    } else {
      const onTunnel = (): void => void (step = 'handshake')
      dialThrough({ proxy, connect, trust, wanted, dialling: dialling.signal, onTunnel }, settle)
    }
  }
}

function dialDirectly(
  connect: Connect,
  wanted: ConnectOptions,
  dialling: AbortSignal,
  callback: ConnectCallback,
): Socket {
  // undici's connector returns the socket that it connects, though its types do not say so.
  const socket = connect(wanted, callback) as unknown as Socket
  const destroy = (): void => void socket.destroy(dialling.reason as Error)
  if (dialling.aborted) destroy()
  else dialling.addEventListener('abort', destroy, { once: true })
  return socket
}

interface ProxyDial {
  readonly proxy: URL
  readonly connect: Connect
  readonly trust: object
  readonly wanted: ConnectOptions
  readonly dialling: AbortSignal
  readonly onTunnel: () => void
}

/** Asks the proxy for a tunnel to the hub, and speaks TLS with the hub through it. */
function dialThrough(
  { proxy, connect, trust, wanted, dialling, onTunnel }: ProxyDial,
  callback: ConnectCallback,
): void {
  let isOver = false
  const fail = (error: Error): void => {
    if (isOver) return
    isOver = true
    callback(error, null)
  }
  const request = askForTunnel(proxy, trust, wanted, dialling)
  request.on('error', (error: Error & { code?: string }) =>
    fail(new ProxyError(`The proxy ${proxy.host} failed: ${error.code ?? 'connection error'}.`)),
  )
  request.on('connect', (reply, socket: Socket, head: Buffer) => {
    socket.on('error', () => {})
    // Nobody speaks in a TLS tunnel before the client does.
    if (reply.statusCode !== 200 || head.length > 0 || isOver) {
      socket.destroy()
      fail(
        new ProxyError(`The proxy ${proxy.host} refused the tunnel with ${reply.statusCode ?? 'nothing'}.`),
      )
      return
    }
    isOver = true
    onTunnel()
    dialDirectly(connect, { ...wanted, httpSocket: socket }, dialling, callback)
  })
  request.end()
}

function askForTunnel(
  proxy: URL,
  trust: object,
  { hostname, port }: ConnectOptions,
  signal: AbortSignal,
): ClientRequest {
  const host = hostname.includes(':') ? `[${hostname}]` : hostname
  const target = `${host}:${port === '' ? '443' : port}`
  const authorization = proxyAuthorization(proxy)
  const isSecure = proxy.protocol === 'https:'
  // Loaded only now, and not by `import`, which reads every export: those of WebSocket load a second undici, 13 MB of it.
  const { request } = process.getBuiltinModule(isSecure ? 'node:https' : 'node:http')
  return request({
    ...(isSecure ? trust : {}),
    method: 'CONNECT',
    host: proxy.hostname.replace(/^\[|\]$/g, ''),
    port: proxy.port === '' ? (isSecure ? 443 : 80) : Number(proxy.port),
    path: target,
    headers: {
      host: target,
      ...(authorization === undefined ? {} : { 'proxy-authorization': authorization }),
    },
    // An agent of its own, which reads no proxy variables.
    agent: false,
    maxHeaderSize: limits.RESPONSE_HEADER_BYTES_MAX,
    signal,
  })
}

function tlsOptions({ extraCa, cert, key }: AgentTls): { ca?: string[]; cert?: string; key?: string } {
  return {
    ...(extraCa === undefined ? {} : { ca: [...getCACertificates('default'), ...[extraCa].flat()] }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}
