/**
 * What others would stream with, without credentials and durability: KIND HEARTBEAT_MS, where KIND is `better-sse`, `node:http` or
 * `raw sockets`. `GET /x/ID` is a stream, `POST /pub/ID` goes to one, `POST /all` to all.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createSocketServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createSession } from 'better-sse'

export type PeerKind = 'better-sse' | 'node:http' | 'raw sockets'

/** Sends one body to a stream, as an event named `command`. */
type Send = (body: string) => void

const BACKLOG = 4_096
const [kind = 'node:http', heartbeatMs = '15000'] = process.argv.slice(2)
const streams = new Map<string, Send>()
const beats = new Set<() => void>()
process.once('disconnect', () => process.exit())

const frameOf = (body: string): string => `event: command\ndata: ${body}\n\n`

/** Whatever is asked but a stream: `true` if something took it. */
function publish(path: string, body: string): boolean {
  if (path === '/all') {
    for (const send of streams.values()) send(body)
    return true
  }
  const send = streams.get(path.slice('/pub/'.length))
  send?.(body)
  return send !== undefined
}

async function answerHttp(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url ?? '/'
  if (request.method === 'GET') {
    await openStream(path.slice('/x/'.length), request, response)
    return
  }
  let body = ''
  request.setEncoding('utf8')
  for await (const part of request) body += part
  response.writeHead(publish(path, body) ? 201 : 404, { 'Content-Type': 'application/json' }).end('{}')
}

async function openStream(id: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.once('close', () => streams.delete(id))
  if (kind === 'better-sse') {
    const session = await createSession(request, response, { keepAlive: Number(heartbeatMs) })
    streams.set(id, (body) => void session.push(JSON.parse(body), 'command'))
    return
  }
  response.writeHead(200, { 'Content-Type': 'text/event-stream' })
  response.write(': connected\n\n')
  streams.set(id, (body) => void response.write(frameOf(body)))
  const beat = (): void => void response.write(': hb\n\n')
  beats.add(beat)
  response.once('close', () => beats.delete(beat))
}

/** As little as can be between a socket and a stream: no server that anybody should use, but the floor for one in Node. */
function answerRaw(socket: Socket): void {
  let text = ''
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk) => {
    text += String(chunk)
    const end = text.indexOf('\r\n\r\n')
    if (end === -1) return
    const [method, path = '/'] = text.split(' ', 2)
    if (method === 'GET') {
      text = ''
      openRaw(path.slice('/x/'.length), socket)
      return
    }
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0)
    if (text.length < end + 4 + length) return
    publish(path, text.slice(end + 4, end + 4 + length))
    text = text.slice(end + 4 + length)
    socket.write('HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}')
  })
}

function openRaw(id: string, socket: Socket): void {
  socket.removeAllListeners('data').resume()
  socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: connected\n\n')
  streams.set(id, (body) => void socket.write(frameOf(body)))
  const beat = (): void => void socket.write(': hb\n\n')
  beats.add(beat)
  socket.once('close', () => {
    streams.delete(id)
    beats.delete(beat)
  })
}

const server: Server =
  kind === 'raw sockets'
    ? createSocketServer(answerRaw)
    : createServer((request, response) => void answerHttp(request, response))
setInterval(() => beats.forEach((beat) => beat()), Number(heartbeatMs))

process.once('message', () => {
  server.listen({ port: 0, host: '127.0.0.1', backlog: BACKLOG })
  void once(server, 'listening').then(() =>
    process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }),
  )
})
