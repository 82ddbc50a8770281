/** Bytes on a socket, as no HTTP client would send them. Ends by the handle; loopback only. */
import { connect, type Socket } from 'node:net'

/** One connection. */
export interface RawClient extends AsyncDisposable {
  readonly socket: Socket
  /** All that was received so far. */
  readonly text: string
  /** Resolves when the other end has closed, or cut, the connection. */
  readonly closed: Promise<void>
  write(bytes: string | Uint8Array): void
  /** Resolves with the text once it matches; rejects if the connection closes before. */
  until(pattern: RegExp): Promise<string>
}

/** Connects. */
export async function openRawClient(url: URL): Promise<RawClient> {
  const socket = connect({ port: Number(url.port), host: url.hostname })
  let text = ''
  const checks = new Set<() => void>()
  const recheck = (): void => {
    for (const check of checks) check()
  }
  const closed = Promise.withResolvers<void>()
  const connected = Promise.withResolvers<void>()
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    text += chunk
    recheck()
  })
  // A cut connection shows as `close`; which of the two ends was faster does not matter.
  socket.on('error', () => {})
  socket.once('connect', () => connected.resolve())
  socket.once('close', () => {
    closed.resolve()
    connected.resolve()
    recheck()
  })
  await connected.promise
  return {
    socket,
    get text() {
      return text
    },
    closed: closed.promise,
    write: (bytes) => void socket.write(bytes),
    until(pattern) {
      const seen = Promise.withResolvers<string>()
      const check = (): void => {
        if (pattern.test(text)) seen.resolve(text)
        else if (socket.closed) {
          seen.reject(new Error(`The connection closed before ${String(pattern)}. It brought: ${text}`))
        }
      }
      checks.add(check)
      check()
      return seen.promise.finally(() => checks.delete(check))
    },
    async [Symbol.asyncDispose]() {
      socket.destroy()
      await closed.promise
    },
  }
}

/** Sends `bytes` and returns all that comes back until the other end closes. */
export async function exchangeBytes(url: URL, bytes: string | Uint8Array): Promise<string> {
  await using client = await openRawClient(url)
  client.write(bytes)
  await client.closed
  return client.text
}

/** A request's head, without the empty line that ends it. */
export function head(method: string, path: string, headers: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries({ host: 'hub', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}`
}
