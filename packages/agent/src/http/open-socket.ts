/** Begins a connection over TCP, or TLS, and waits until it is made. */
import { limits } from '@downlink/protocol'
import { connect, isIP, type OnReadOpts, type Socket } from 'node:net'
import type * as tls from 'node:tls'
import { ConnectionEndedError } from './connection-errors.ts'
import { lookUp } from './lookup.ts'

/** Where a connection goes, and what TLS there trusts; undefined for none. */
export interface DialTarget {
  readonly host: string
  readonly port: number
  readonly tls: tls.ConnectionOptions | undefined
}

/** Time after which the system asks whether an idle connection is still there, ms. */
const TCP_KEEP_ALIVE_MS = 60_000

/** Begins a connection. @param over - how it is read, the session that TLS takes up again, or the socket that it goes through. */
export function openSocket(
  { host, port, tls }: DialTarget,
  over: { readonly onread?: OnReadOpts; readonly session?: Buffer | undefined; readonly socket?: Socket },
): Socket {
  const { session, ...rest } = over
  const options = {
    host,
    port,
    lookup: lookUp,
    autoSelectFamilyAttemptTimeout: limits.CONNECT_ADDRESS_MS,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    ...rest,
  }
  if (tls === undefined) return connect(options)
  return builtinTls().connect({
    ...options,
    ...tls,
    ALPNProtocols: ['http/1.1'],
    // The dot at the end of a name is for name servers only.
    ...(isIP(host) === 0 ? { servername: host.replace(/\.$/, '') } : {}),
    ...(session === undefined ? {} : { session }),
  })
}

/** Waits for a connection that is being made; destroys it when `signal` aborts. */
export function connected(socket: Socket, isSecure: boolean, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onAbort = (): void => void socket.destroy(signal.reason as Error)
  const settle = (result: () => void) => (): void => {
    signal.removeEventListener('abort', onAbort)
    result()
  }
  socket.once(isSecure ? 'secureConnect' : 'connect', settle(resolve))
  // Stays: whatever breaks afterwards is told by the close.
  socket.on('error', reject)
  socket.once(
    'close',
    settle(() => reject(new ConnectionEndedError())),
  )
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  return promise
}

/** Only for those who use it, and not by `import`, which reads every export, the root certificates too: megabytes. */
export function builtinTls(): typeof tls {
  return process.getBuiltinModule('node:tls')
}
