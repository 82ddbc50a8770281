/** One connection that speaks HTTP/1.1: a request at a time, and the body of its reply read in our own memory. */
import { limits, type Clock } from '@downlink/protocol'
import type { Socket } from 'node:net'
import { framingOf, type BodyFraming } from './body-framing.ts'
import { ConnectionEndedError, MalformedReplyError } from './connection-errors.ts'
import type { ReplyHeaders } from './http-failure.ts'
import { ReplyBody } from './reply-body.ts'
import { HeadReader, type ReplyHead } from './reply-head.ts'
import type { Reply, ReplyRequest, Requester } from './reply.ts'
import type { SocketReader } from './socket-reader.ts'

/** A request under way. */
interface Exchange {
  readonly request: ReplyRequest
  readonly replied: PromiseWithResolvers<Reply>
  readonly onAbort: () => void
  heads: HeadReader
  /** Both once the head of the reply has come. */
  framing: BodyFraming | undefined
  body: ReplyBody | undefined
  /** How long the other end keeps the connection after this reply, ms; 0 if it does not. */
  keptMs: number
}

/** What a connection is made of. */
export interface ConnectionParts {
  /** Connected. */
  readonly socket: Socket
  readonly reader: SocketReader
  /** The hub, as `host` names it. */
  readonly host: string
  readonly clock: Clock
}

/** A connection to one hub. */
export class Connection implements Requester {
  /** Called when the reply has come in full and another request may follow. */
  onFree: () => void = () => {}
  /** Resolves when the socket is closed. */
  readonly closed: Promise<void>
  private readonly parts: ConnectionParts
  private exchange: Exchange | undefined
  /** Why the connection broke; told once it is closed, so that whoever closes it in the same turn is first. */
  private broken: unknown
  /** Until when the other end keeps the connection, by the monotonic clock, ms. */
  private keptUntilMs = Infinity

  constructor(parts: ConnectionParts) {
    const { socket, reader } = parts
    this.parts = parts
    reader.onBytes = (bytes) => this.read(bytes)
    this.closed = new Promise((resolve) => void socket.once('close', resolve))
    socket.on('error', (error) => (this.broken ??= error))
    socket.once('end', () => this.onEnd())
    socket.once('close', () => this.fail(this.broken ?? new ConnectionEndedError()))
  }

  /** Something of use came: the bound of the raw bytes begins again. */
  progressed(): void {
    this.parts.reader.progressed()
  }

  /** Whether another request may be tried on it. */
  get isKept(): boolean {
    const { socket, clock } = this.parts
    return !socket.destroyed && socket.writable && clock.monotonicMs() < this.keptUntilMs
  }

  request(request: ReplyRequest): Promise<Reply> {
    const { socket, reader, host } = this.parts
    const replied = Promise.withResolvers<Reply>()
    if (request.signal.aborted) replied.reject(request.signal.reason)
    else if (this.exchange !== undefined || socket.destroyed) replied.reject(new ConnectionEndedError())
    else {
      const onAbort = (): void => void this.destroy(request.signal.reason)
      request.signal.addEventListener('abort', onAbort, { once: true })
      const heads = new HeadReader()
      this.exchange = { request, replied, onAbort, heads, framing: undefined, body: undefined, keptMs: 0 }
      reader.progressed()
      socket.ref()
      try {
        socket.write(requestText(request, host))
      } catch (error) {
        void this.destroy(error)
      }
    }
    return replied.promise
  }

  /** Ends the connection, and its request with `error`; resolves once the socket is closed. May be called twice. */
  destroy(error: unknown = new ConnectionEndedError()): Promise<void> {
    this.fail(error)
    this.parts.socket.destroy()
    return this.closed
  }

  private read(bytes: Uint8Array): void {
    try {
      for (let at = 0; at < bytes.length && !this.parts.socket.destroyed;) {
        const { exchange } = this
        if (exchange === undefined) throw new MalformedReplyError('it came unasked')
        const { framing, body } = exchange
        if (framing === undefined) at = this.readHead(exchange, bytes, at)
        else at = framing.read(bytes, at, (part) => body?.push(part))
        if (exchange.framing?.isOver === true) this.finish(exchange)
      }
    } catch (error) {
      this.broken ??= error
      this.parts.socket.destroy()
    }
  }

  private readHead(exchange: Exchange, bytes: Uint8Array, from: number): number {
    const end = exchange.heads.read(bytes, from)
    const { head } = exchange.heads
    if (head === undefined) return end
    if (head.statusCode === 101) throw new MalformedReplyError('it changes the protocol unasked')
    if (head.statusCode < 200) {
      checkInterim(head)
      exchange.request.onInterim()
      exchange.heads = new HeadReader()
      return end
    }
    exchange.framing = framingOf(head)
    exchange.keptMs = exchange.framing.endsWithConnection ? 0 : keptMs(head)
    exchange.body = this.bodyOf(exchange)
    const { statusCode, headers } = head
    exchange.replied.resolve({ statusCode, headers, body: exchange.body })
    return end
  }

  private bodyOf(exchange: Exchange): ReplyBody {
    const { socket } = this.parts
    // A body may still be read when the connection serves the next request.
    const whileUnderWay = (effect: () => unknown) => (): void => {
      if (this.exchange === exchange) effect()
    }
    return new ReplyBody({
      pause: whileUnderWay(() => socket.pause()),
      resume: whileUnderWay(() => socket.resume()),
      abort: whileUnderWay(() => this.destroy()),
    })
  }

  /** The reply has come in full. */
  private finish(exchange: Exchange): void {
    const { socket, clock } = this.parts
    // Whoever reads it may have ended the connection meanwhile.
    if (this.exchange !== exchange) return
    this.settle(exchange)
    exchange.body?.finish({})
    if (exchange.keptMs === 0 || socket.writableLength > 0) {
      socket.destroy()
      return
    }
    this.keptUntilMs = clock.monotonicMs() + exchange.keptMs
    // The other end's close must be seen, and keep no process alive.
    socket.resume()
    socket.unref()
    this.onFree()
  }

  private onEnd(): void {
    const { exchange } = this
    if (exchange?.framing?.endsWithConnection === true) this.finish(exchange)
    else this.parts.socket.destroy()
  }

  private fail(error: unknown): void {
    const { exchange } = this
    if (exchange === undefined) return
    this.settle(exchange)
    exchange.body?.finish({ error })
    exchange.replied.reject(error)
  }

  private settle({ request, onAbort }: Exchange): void {
    this.exchange = undefined
    request.signal.removeEventListener('abort', onAbort)
  }
}

function requestText({ method, path, headers, body }: ReplyRequest, host: string): string {
  const all: Record<string, string> = { host, connection: 'keep-alive', ...headers }
  if (body !== undefined) all['content-length'] = String(Buffer.byteLength(body))
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  const head = [`${method} ${path} HTTP/1.1`, ...lines]
  if (head.some((line) => /[^ -~]/.test(line)))
    throw new TypeError('A header of a request must be printable ASCII in one line.')
  return `${head.join('\r\n')}\r\n\r\n${body ?? ''}`
}

/** @throws MalformedReplyError for one that speaks of a body or of an end: what follows it could be either. */
function checkInterim({ headers }: ReplyHead): void {
  const isFramed = 'content-length' in headers || 'transfer-encoding' in headers
  if (isFramed || tokensOf(headers, 'connection').includes('close'))
    throw new MalformedReplyError('an interim reply has a body or ends the connection')
}

function keptMs({ isOld, headers }: ReplyHead): number {
  if (isOld || tokensOf(headers, 'connection').includes('close')) return 0
  const [timeout] = tokensOf(headers, 'keep-alive').filter((token) => /^timeout=\d{1,9}$/.test(token))
  if (timeout === undefined) return limits.KEPT_CONNECTION_MS_DEFAULT
  const saidMs = Number(timeout.slice('timeout='.length)) * 1_000
  return Math.max(0, Math.min(limits.KEPT_CONNECTION_MS_MAX, saidMs - limits.KEPT_CONNECTION_MARGIN_MS))
}

function tokensOf(headers: ReplyHeaders, name: string): readonly string[] {
  const values = [headers[name] ?? []].flat()
  return values.flatMap((value) => value.split(',')).map((token) => token.trim().toLowerCase())
}
