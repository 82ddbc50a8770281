/** A sender that never ends: it writes as fast as the kernel takes it, connects again whenever it is cut, and counts what it was told. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** Bytes that one connection sends at most, which is far beyond any bound of the hub and of the kernel’s buffers. */
const CONNECTION_BYTES_MAX = 33_554_432

/** What it sends. */
export interface EndlessBytes {
  /** Sent once on each connection. */
  readonly head: string
  /** Sent after that, again and again. */
  readonly more: Buffer
}

/** What came of it. */
export interface Flood {
  /** Bytes that the kernel took of all connections. */
  readonly bytes: number
  readonly connections: number
  /** Connections by the status of the reply that they ended with; `cut` without one, `not cut` if it took all the same. */
  readonly endings: ReadonlyMap<string, number>
}

/** How it sends. */
export interface FloodOptions {
  readonly url: string
  readonly connections: number
  /** Bytes in all, at least. */
  readonly bytesMin: number
  /** Whether it reads what comes back. */
  readonly isReading: boolean
}

/** Sends on several connections at once until the kernel has taken `bytesMin` in all. */
export async function flood(
  bytesOf: (sender: number) => EndlessBytes,
  { url, connections, bytesMin, isReading }: FloodOptions,
): Promise<Flood> {
  const { hostname, port } = new URL(url)
  const endings = new Map<string, number>()
  let bytes = 0
  let opened = 0

  async function send(sender: number): Promise<void> {
    const { head, more } = bytesOf(sender)
    while (bytes < bytesMin) {
      const socket = connect({ host: hostname, port: Number(port) })
      const ending = endingOf(socket, isReading)
      opened++
      socket.write(head)
      // Past what is asked for in all, too: each connection must be cut.
      for (let sent = 0; !socket.destroyed && sent < CONNECTION_BYTES_MAX; sent += more.length) {
        const isFull = !socket.write(more, (error) => {
          if (error === null || error === undefined) bytes += more.length
        })
        // Without this wait all that is sent would pile up here, and the memory that grows would be the sender’s.
        if (isFull) await drainedOrClosed(socket)
      }
      const isCut = socket.destroyed
      socket.destroy()
      const name = isCut ? await ending : 'not cut'
      endings.set(name, (endings.get(name) ?? 0) + 1)
    }
  }

  await Promise.all(Array.from({ length: connections }, (_, sender) => send(sender)))
  return { bytes, connections: opened, endings }
}

async function drainedOrClosed(socket: Socket): Promise<void> {
  if (socket.destroyed) return
  const listening = new AbortController()
  const { signal } = listening
  await Promise.race([once(socket, 'drain', { signal }), once(socket, 'close', { signal })]).catch(() => {})
  listening.abort()
}

/** Resolves with the status of what came back, once the connection is closed. */
async function endingOf(socket: Socket, isReading: boolean): Promise<string> {
  let text = ''
  socket.on('error', () => {})
  if (isReading) socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')))
  else socket.pause()
  await new Promise((resolve) => socket.once('close', resolve))
  return /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 'cut'
}
