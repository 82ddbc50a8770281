/** A process that serves event streams: bursts of texts or commands, or single events that say when they were written. */
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { encodePreamble, encodeSync } from '@downlink/protocol'
import { streamOf, workloadOf } from './workloads.ts'

/** What every stream opened from now on carries. */
export interface ServeRequest {
  readonly mode: 'texts' | 'commands' | 'latency'
  readonly events: number
}

export interface ServeAnswer {
  readonly httpPort: number
  /** Carries the same frames without HTTP. */
  readonly tcpPort: number
}

const EVENTS_PER_WRITE = 800
/** Long enough for a quick client to be idle again, so that events do not queue. */
const LATENCY_PAUSE_MS = 1
const COMMANDS = workloadOf('commands')
const NAME_LINE = /^event: command$/gm
const commands = streamOf(COMMANDS, EVENTS_PER_WRITE * COMMANDS.frame(0).length)
/** The same data under a name that means nothing to our client. */
const texts = Buffer.from(Buffer.from(commands).toString().replaceAll(NAME_LINE, 'event: note'))
const eventsPerBlock = texts.toString().split('\n\n').length - 1
let serving: ServeRequest = { mode: 'texts', events: 0 }

/** Writes to the bare socket on both ports, so that all subjects get the same bytes by the same calls. */
async function serve(socket: Socket, framed: (bytes: Uint8Array) => Uint8Array): Promise<void> {
  const { mode, events } = serving
  const block = framed(mode === 'texts' ? texts : commands)
  const closed = new AbortController()
  socket.on('close', () => closed.abort())
  socket.on('error', () => closed.abort())
  socket.write(framed(encodePreamble(15_000, 2_000)))
  for (
    let sent = 0;
    sent < events && !closed.signal.aborted;
    sent += mode === 'latency' ? 1 : eventsPerBlock
  ) {
    if (mode === 'latency') {
      await sleep(LATENCY_PAUSE_MS)
      socket.write(framed(encodeSync(String(process.hrtime.bigint()))))
    } else if (!socket.write(block)) {
      await once(socket, 'drain', { signal: closed.signal }).catch(() => undefined)
    }
  }
}

/** As HTTP's chunked encoding has it. */
function chunked(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const http = createHttpServer({ noDelay: true }, ({ socket }, response) => {
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    'transfer-encoding': 'chunked',
  })
  response.flushHeaders()
  void serve(socket, chunked)
})
const tcp = createTcpServer({ noDelay: true }, (socket) => void serve(socket, (bytes) => bytes))
const answer: ServeAnswer = { httpPort: await listen(http), tcpPort: await listen(tcp) }

process.on('message', (request: ServeRequest) => {
  serving = request
  process.send?.(answer)
})
