/** Servers on loopback for tests of the agent's connections, which end with the test. */
import type { SyncRequest } from '@downlink/protocol'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import {
  connect,
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net'
import { inspect } from 'node:util'
import { expect, onTestFinished, vi } from 'vitest'
import { createTestClock, type TestClock } from '../../testkit/src/test-clock.ts'
import { createBoot } from '../src/boot.ts'
import { createAgentClient, type AgentClient, type AgentClientOptions } from '../src/client.ts'

export const TOKEN = 'dla.secret-that-must-not-be-seen'
export const SYNC: SyncRequest = {
  agentId: 'a1',
  tasks: [],
  freeSlots: 2,
  outcomes: [],
  received: [],
  decisions: [],
}

/** A server that listens, and what has happened to it. */
export interface Listening {
  readonly host: string
  readonly port: number
  readonly sockets: Set<Socket>
  connections(): number
}

export async function listen(server: Server): Promise<Listening> {
  const sockets = new Set<Socket>()
  let connections = 0
  server.on('connection', (socket: Socket) => {
    connections += 1
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  const { port } = server.address() as AddressInfo
  return { host: `127.0.0.1:${port}`, port, sockets, connections: () => connections }
}

/** A server whose answers are `answer`'s, and what it was asked. */
export async function httpServer(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const asked: { readonly path: string; readonly counter: unknown }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => (body += text))
    request.on('end', () => {
      const counter: unknown =
        body === ''
          ? Number(request.headers['downlink-connect'])
          : (JSON.parse(body) as { connectCounter?: number }).connectCounter
      asked.push({ path: request.url?.split('/').at(-1) ?? '', counter })
      answer(request, response)
    })
  })
  const listening = await listen(server)
  return { ...listening, url: `http://${listening.host}`, asked }
}

/** A server that does with each connection what `serve` does. */
export async function tcpServer(serve: (socket: Socket) => void) {
  const listening = await listen(createTcpServer(serve))
  return { ...listening, url: `http://${listening.host}` }
}

/** Answers as a hub does, with `wake` as asked. */
export function hubAnswer(wake = false): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    if (request.url?.endsWith('/events') === true) {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': connected hb=15000\n\n')
    } else {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ success: true, watching: false, wake }))
    }
  }
}

/** A port that refuses: it was listened on, and is no more. */
export async function refusedPort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** A port of Linux whose SYNs are dropped: its process stands still, and the queue of connections to be accepted is full. */
export async function droppingPort(): Promise<number> {
  const script = `const server = require('node:net').createServer()
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port))`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  const fillers: Socket[] = []
  onTestFinished(async () => {
    for (const filler of fillers) filler.destroy()
    child.kill('SIGKILL')
    await once(child, 'close')
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const port = Number(String(line))
  child.kill('SIGSTOP')
  // The queue holds one more than asked for; from then on nothing is answered.
  for (let count = 0; count < 2; count += 1) {
    const filler = connect(port, '127.0.0.1').on('error', () => {})
    fillers.push(filler)
    await once(filler, 'connect')
  }
  return port
}

/** A client of `hubs` on a clock that stands still unless told otherwise. */
export function clientOf(
  hubs: readonly string[],
  options: Omit<Partial<AgentClientOptions>, 'clock'> = {},
): { readonly client: AgentClient; readonly clock: TestClock } {
  const clock = createTestClock()
  const boot = createBoot((size) => new Uint8Array(size))
  const client = createAgentClient({
    hubs,
    credential: () => TOKEN,
    boot,
    random: () => 0,
    ...options,
    clock,
  })
  onTestFinished(() => client.close())
  return { client, clock }
}

/** What `promise` fails with. Fails itself if the token can be seen in it. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error, 'the request succeeded; it must fail').toBeInstanceOf(Error)
  expect(inspect(error, { depth: 8 }), 'an error shows the credential').not.toContain(TOKEN)
  return error
}

/** Moves `clock` to its next timer, which `delayMs` is expected to be away, once there is one. */
export async function passTimer(clock: TestClock, delayMs: number): Promise<void> {
  await vi.waitUntil(() => clock.nextTimerMs === delayMs)
  clock.advance(delayMs)
}
