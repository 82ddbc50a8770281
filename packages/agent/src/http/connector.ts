/** Makes the connections of an agent: directly or through a proxy's tunnel, within one deadline, over TLS with its trust. */
import { limits, type Clock } from '@downlink/protocol'
import { isIP } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { DialTimeoutError, type DialStep } from './connection-errors.ts'
import { Connection } from './connection.ts'
import { builtinTls, connected, openSocket, type DialTarget } from './open-socket.ts'
import { openTunnel } from './proxy-tunnel.ts'
import { SocketReader } from './socket-reader.ts'

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
  readonly hub: URL
  readonly proxy: URL | undefined
  readonly tls: AgentTls
}

/** Makes one connection. @throws `signal`'s reason, DialTimeoutError, ProxyError, or what the system says. */
export type Dial = (signal: AbortSignal) => Promise<Connection>

/** Makes connections to one hub: name look-up, TCP, the proxy's tunnel and TLS within `CONNECT_MS_MAX` together. */
export function createConnector({ clock, hub, proxy, tls }: ConnectorOptions): Dial {
  const isSecure = hub.protocol === 'https:'
  const trust = isSecure || proxy?.protocol === 'https:' ? trustOf(tls) : undefined
  const target = targetOf(hub, isSecure ? trust : undefined)
  let session: Buffer | undefined
  return async (signal) => {
    signal.throwIfAborted()
    let step: DialStep = proxy === undefined && isIP(target.host) === 0 ? 'name' : 'connection'
    const dialling = new AbortController()
    const timer = clock.setTimer(limits.CONNECT_MS_MAX, () => dialling.abort(new DialTimeoutError(step)))
    const onAbort = (): void => dialling.abort(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      const reader = new SocketReader()
      const tunnel =
        proxy === undefined
          ? undefined
          : await openTunnel(
              proxy,
              targetOf(proxy, proxy.protocol === 'https:' ? trust : undefined),
              hub,
              dialling.signal,
            )
      if (tunnel !== undefined) step = 'handshake'
      const socket = openSocket(target, {
        session,
        ...(tunnel === undefined ? { onread: reader.onread } : { socket: tunnel }),
      })
      socket.once('lookup', () => (step = 'connection'))
      if (isSecure) socket.once('connect', () => (step = 'handshake'))
      socket.on('session', (made: Buffer) => (session = made))
      reader.attach(socket, tunnel !== undefined)
      await connected(socket, isSecure, dialling.signal)
      return new Connection({ socket, reader, host: hub.host, clock })
    } catch (error) {
      // A session that the hub cannot take up any more must not break the next handshake, too.
      session = undefined
      // Whatever broke because of the abort, the abort is the cause.
      dialling.signal.throwIfAborted()
      throw error
    } finally {
      timer.cancel()
      signal.removeEventListener('abort', onAbort)
    }
  }
}

function targetOf(url: URL, tls: ConnectionOptions | undefined): DialTarget {
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port)
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port, tls }
}

function trustOf({ extraCa, cert, key }: AgentTls): ConnectionOptions {
  return {
    ...(extraCa === undefined
      ? {}
      : { ca: [...builtinTls().getCACertificates('default'), ...[extraCa].flat()] }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  }
}
