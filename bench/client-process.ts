/** A process that reads one stream at a time with one client, to what an application works with, and says what it cost. */
import { connect } from 'node:net'
import { randomBytes } from 'node:crypto'
import { createAgentClient, createBoot, openEventStream } from '@downlink/agent'
import { systemClock } from '@downlink/protocol'
import { EventSource } from 'eventsource'
import { createParser } from 'eventsource-parser'
import type { ServeAnswer, ServeRequest } from './client-server.ts'

export type ClientSubject = 'downlink' | 'eventsource' | 'fetch + eventsource-parser' | 'raw TCP'

export interface ClientAnswer {
  /** Of all events but the first, by the wall clock. */
  readonly eventsPerSecond: number
  /** Of all threads of this process. */
  readonly cpuUsPerEvent: number
  /** From the server's write to the handler; of events that carry their time. */
  readonly latencyP50Us: number
}

/** Hears each event; returns whether it wants no more. */
type Handler = (type: string, body: unknown) => boolean
type Reader = (ports: ServeAnswer, onEvent: Handler) => Promise<void>

const READERS: Readonly<Record<ClientSubject, Reader>> = {
  downlink: readWithDownlink,
  eventsource: readWithEventSource,
  'fetch + eventsource-parser': readWithFetch,
  'raw TCP': readRaw,
}

/** Ours parses and checks what it knows, so the others parse as well; a text of the application's is handed on as it is. */
function bodyOf(type: string, data: string): unknown {
  return type === 'note' ? data : JSON.parse(data)
}

async function readWithDownlink({ httpPort }: ServeAnswer, onEvent: Handler): Promise<void> {
  const client = createAgentClient({
    hubs: [`http://127.0.0.1:${httpPort}`],
    credential: () => 'bench',
    boot: createBoot(randomBytes),
    clock: systemClock,
  })
  const stream = await openEventStream(client)
  for await (const event of stream) {
    if (event.type === 'ping') continue
    if (event.type === 'unknown' ? onEvent(event.event, event.data) : onEvent(event.type, event)) break
  }
  await client.close()
}

async function readWithEventSource({ httpPort }: ServeAnswer, onEvent: Handler): Promise<void> {
  const source = new EventSource(`http://127.0.0.1:${httpPort}/api/internal/agent/events`)
  await new Promise<void>((resolve) => {
    let done = false
    const hear = ({ type, data }: { readonly type: string; readonly data: string }): void => {
      if (done || !onEvent(type, bodyOf(type, data))) return
      done = true
      source.close()
      resolve()
    }
    source.addEventListener('command', hear)
    source.addEventListener('note', hear)
    source.addEventListener('sync', hear)
  })
}

async function readWithFetch({ httpPort }: ServeAnswer, onEvent: Handler): Promise<void> {
  const abort = new AbortController()
  const reply = await fetch(`http://127.0.0.1:${httpPort}/api/internal/agent/events`, {
    signal: abort.signal,
  })
  const utf8 = new TextDecoder()
  let done = false
  const parser = createParser({
    onEvent: ({ event = 'message', data }) => {
      done ||= onEvent(event, bodyOf(event, data))
    },
  })
  if (reply.body === null) throw new Error('The reply has no body. Mend the server of the bench.')
  for await (const chunk of reply.body) {
    parser.feed(utf8.decode(chunk, { stream: true }))
    if (done) break
  }
  abort.abort()
}

/** The floor: what a program could at best do with the same frames. */
async function readRaw({ tcpPort }: ServeAnswer, onEvent: Handler): Promise<void> {
  const socket = connect({ port: tcpPort, host: '127.0.0.1', noDelay: true })
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      // Small frames are not cut on their way over loopback, but may come together.
      for (const [, data = ''] of chunk.toString().matchAll(/^data: (.*)$/gm)) {
        if (onEvent('sync', JSON.parse(data))) return resolve()
      }
    })
  })
  socket.destroy()
}

async function measure(reader: Reader, ports: ServeAnswer, { events }: ServeRequest): Promise<ClientAnswer> {
  const latenciesUs: number[] = []
  let seen = 0
  let whole = 0
  let startNs = 0n
  let startCpu = process.cpuUsage()
  let answer: ClientAnswer | undefined
  await reader(ports, (type, body) => {
    if (seen === 0) {
      startNs = process.hrtime.bigint()
      startCpu = process.cpuUsage()
    }
    seen += 1
    if (type === 'command') whole += (body as { controls: unknown[] }).controls.length
    else if (type === 'note') whole += (body as string).startsWith('{') ? 1 : 0
    else {
      whole += 1
      const writtenNs = BigInt((body as { reason: string }).reason)
      latenciesUs.push(Number(process.hrtime.bigint() - writtenNs) / 1_000)
    }
    if (seen < events) return false
    const { user, system } = process.cpuUsage(startCpu)
    const seconds = Number(process.hrtime.bigint() - startNs) / 1e9
    answer = {
      eventsPerSecond: (seen - 1) / seconds,
      cpuUsPerEvent: (user + system) / (seen - 1),
      latencyP50Us: latenciesUs.toSorted((a, b) => a - b)[latenciesUs.length >> 1] ?? 0,
    }
    return true
  })
  if (answer === undefined || whole !== events) {
    throw new Error(`Of ${events} events ${whole} came. Mend the bench or the client.`)
  }
  return answer
}

process.on('message', (request: ServeRequest & ServeAnswer) => {
  const reader = READERS[process.argv[2] as ClientSubject]
  void measure(reader, request, request).then((answer) => process.send?.(answer))
})
