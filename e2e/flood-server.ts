/** A server that answers well until it is told to flood, and counts the bytes that it offered. */
import { systemClock } from '@downlink/protocol'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'

/** An answer that never ends: `start`, and then `unit` again and again. */
export interface Flood {
  readonly start: string | Uint8Array
  readonly unit: string | Uint8Array
  /** A rest between two units, ms: for a flood that drips. @defaultValue none */
  readonly restMs?: number
}

/** The server, listening on loopback. */
export interface FloodServer extends AsyncDisposable {
  readonly url: string
  /** Answers every later connection with `flood`, or only those that ask for `path`; undefined for good answers. */
  play(flood: Flood | undefined, path?: string): void
  /** Cuts all connections. */
  cut(): void
  /**
   * Bytes of floods that the system took from this server to bring them to the other end: those that it refused because
   * the connection was cut do not count.
   */
  readonly offeredBytes: number
  /** Connections that are being flooded. */
  readonly flooded: number
  /** Connections that were flooded, those included that have ended. */
  readonly floodedEver: number
}

const BLOCK_BYTES_MIN = 65_536
const GOOD_STREAM =
  'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n' +
  'retry: 2000\n: connected hb=15000\n\nevent: sync\ndata: {"reason":"start"}\n\n'
const GOOD_JSON = '{"controls":[],"newTasks":[],"watching":false,"wake":false,"apiKey":"k"}'

/** Starts it. @param json - what it replies to all requests but those for events. */
export async function startFloodServer(json: string = GOOD_JSON): Promise<FloodServer> {
  const reply = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${json.length}\r\nconnection: close\r\n\r\n${json}`
  const sockets = new Set<Socket>()
  let flood: Flood | undefined
  let floodedPath = ''
  let offeredBytes = 0
  let flooded = 0
  let floodedEver = 0

  function answer(socket: Socket, request: Buffer): void {
    if (flood === undefined || !request.includes(floodedPath)) {
      socket.end(request.includes('/events ') ? GOOD_STREAM : reply)
      return
    }
    flooded += 1
    floodedEver += 1
    socket.once('close', () => (flooded -= 1))
    const { start, unit, restMs } = flood
    const block = restMs === undefined ? blockOf(unit) : Buffer.from(unit)
    const offer = (bytes: Buffer): void => {
      socket.write(bytes, (error) => {
        if (error !== undefined && error !== null) return
        offeredBytes += bytes.length
        if (restMs === undefined) offer(block)
        else systemClock.setTimer(restMs, () => void (socket.destroyed || offer(block)))
      })
    }
    offer(Buffer.from(start))
  }

  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    // A flood that is cut ends in an error, as it should.
    socket.on('error', () => {})
    socket.once('data', (request) => answer(socket, request))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    play(next, path = '') {
      flood = next
      floodedPath = path
    },
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    get offeredBytes() {
      return offeredBytes
    },
    get flooded() {
      return flooded
    },
    get floodedEver() {
      return floodedEver
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Whole units, enough of them that a write costs little beside its bytes. */
function blockOf(unit: string | Uint8Array): Buffer {
  const one = Buffer.from(unit)
  return Buffer.concat(Array.from({ length: Math.ceil(BLOCK_BYTES_MIN / one.length) }, () => one))
}
