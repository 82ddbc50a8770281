/** Asks a proxy for a tunnel to the hub, into which it cannot look. */
import type { Socket } from 'node:net'
import { ConnectionEndedError, ProxyError } from './connection-errors.ts'
import { connected, openSocket, type DialTarget } from './open-socket.ts'
import { proxyAuthorization } from './proxy.ts'
import { HeadReader } from './reply-head.ts'

/**
 * Opens a tunnel through `proxy`, which is dialled at `target`.
 * @param signal - ends it while it is made, and destroys the tunnel while it is dialled through.
 * @throws ProxyError, which shows no password; the signal's reason.
 */
export async function openTunnel(
  proxy: URL,
  target: DialTarget,
  hub: URL,
  signal: AbortSignal,
): Promise<Socket> {
  const socket = openSocket(target, {})
  try {
    await connected(socket, target.tls !== undefined, signal)
    const destroy = (): void => void socket.destroy()
    signal.addEventListener('abort', destroy, { once: true })
    socket.write(tunnelRequest(proxy, hub))
    const status = await tunnelStatus(socket)
    if (status === 200) return socket
    throw new ProxyError(
      `The proxy ${proxy.host} refused the tunnel with ${status ?? 'more than an answer'}.`,
    )
  } catch (error) {
    socket.destroy()
    signal.throwIfAborted()
    if (error instanceof ProxyError) throw error
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'connection error'
    throw new ProxyError(`The proxy ${proxy.host} failed: ${code}.`)
  }
}

function tunnelRequest(proxy: URL, { hostname, port }: URL): string {
  const host = `${hostname}:${port === '' ? '443' : port}`
  const authorization = proxyAuthorization(proxy)
  const lines = [
    `CONNECT ${host} HTTP/1.1`,
    `host: ${host}`,
    ...(authorization === undefined ? [] : [`proxy-authorization: ${authorization}`]),
  ]
  return `${lines.join('\r\n')}\r\n\r\n`
}

/** The status of the proxy's answer, or undefined if it says more than that it made a tunnel: nobody speaks in a TLS tunnel before the client does. */
async function tunnelStatus(socket: Socket): Promise<number | undefined> {
  const heads = new HeadReader()
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
  const onReadable = (): void => {
    try {
      const bytes = socket.read() as Buffer | null
      if (bytes === null) return
      const end = heads.read(bytes, 0)
      if (heads.head === undefined) return
      const { statusCode } = heads.head
      resolve(statusCode === 200 && end < bytes.length ? undefined : statusCode)
    } catch (error) {
      reject(error)
    }
  }
  socket.on('readable', onReadable)
  socket.once('error', reject)
  socket.once('close', () => reject(new ConnectionEndedError()))
  try {
    return await promise
  } finally {
    // From here on TLS reads it.
    socket.off('readable', onReadable)
  }
}
