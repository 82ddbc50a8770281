/** A process that serves event streams: bursts of texts or commands, or single events that say when they were written. */
import { once } from 'node:events'
import { createServer as createHttpServer, type ServerResponse } from 'node:http'
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

async function serve(to: ServerResponse | Socket): Promise<void> {
  const { mode, events } = serving
  const closed = new AbortController()
  to.on('close', () => closed.abort())
  to.on('error', () => closed.abort())
  to.write(encodePreamble(15_000, 2_000))
  for (
    let sent = 0;
    sent < events && !closed.signal.aborted;
    sent += mode === 'latency' ? 1 : eventsPerBlock
  ) {
    if (mode === 'latency') {
      await sleep(LATENCY_PAUSE_MS)
      to.write(encodeSync(String(process.hrtime.bigint())))
    } else if (!to.write(mode === 'texts' ? texts : commands)) {
      await once(to, 'drain', { signal: closed.signal }).catch(() => undefined)
    }
  }
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const http = createHttpServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' })
  void serve(response)
})
const tcp = createTcpServer({ noDelay: true }, (socket) => void serve(socket))
const answer: ServeAnswer = { httpPort: await listen(http), tcpPort: await listen(tcp) }

process.on('message', (request: ServeRequest) => {
  serving = request
  process.send?.(answer)
})
