/** Bounds what one request and its connection may cost, before any route sees it and on any server. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { limits, type Clock } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import { isAlone } from './hand-over.ts'
import { replyError } from './json-reply.ts'

/** The guard of one hub. */
export interface RequestGuard {
  /** Runs `answer` when it is the request's turn, or answers it with an error. */
  admit(request: IncomingMessage, response: ServerResponse, answer: () => void): void
  /** Whether the request may have its connection to itself: it is not refused here, all of it has come, and replies to all before it are sent. */
  admitsAlone(request: IncomingMessage): boolean
}

/** One connection: what is being answered, and what was sent after it without waiting. */
interface Line {
  isBusy: boolean
  readonly waiting: (() => void)[]
}

/** Makes a guard. */
export function createRequestGuard(clock: Clock): RequestGuard {
  const lines = new WeakMap<Duplex, Line>()

  function run(line: Line, request: IncomingMessage, response: ServerResponse, answer: () => void): void {
    const { socket } = request
    line.isBusy = true
    response.once('close', () => {
      line.isBusy = false
      // Those behind a connection that is gone are forgotten with it: Node tells their replies nothing.
      if (!socket.destroyed) line.waiting.shift()?.()
    })
    const refusal = refusalOf(request)
    if (refusal !== undefined) {
      replyError(response, refusal)
      return
    }
    if (hasUnreadBody(request)) {
      boundBodyTime(clock, request, response)
      // Node would take in the body to its end to keep the connection.
      if (request.method !== 'POST') response.setHeader('Connection', 'close')
    }
    boundReply(clock, response)
    answer()
  }

  function admit(request: IncomingMessage, response: ServerResponse, answer: () => void): void {
    const { socket } = request
    if (isAlone(response)) {
      lines.delete(socket)
      boundReply(clock, response)
      answer()
      return
    }
    const line = lines.get(socket) ?? { isBusy: false, waiting: [] }
    lines.set(socket, line)
    if (hasUnreadBody(request)) boundBodyParts(request, response)
    if (!line.isBusy) run(line, request, response, answer)
    else if (line.waiting.length < limits.PIPELINED_REQUESTS_MAX) {
      line.waiting.push(() => run(line, request, response, answer))
    } else socket.destroy()
  }

  function admitsAlone(request: IncomingMessage): boolean {
    const isBusy = lines.get(request.socket)?.isBusy === true
    return !isBusy && !hasUnreadBody(request) && refusalOf(request) === undefined
  }

  return { admit, admitsAlone }
}

function refusalOf(request: IncomingMessage): HubError | undefined {
  if (request.rawHeaders.length > 2 * limits.REQUEST_HEADERS_MAX) {
    return new HubError(
      'headers_too_large',
      `The request has more than ${limits.REQUEST_HEADERS_MAX} header fields. Send fewer.`,
    )
  }
  if (request.httpVersion === '1.1' && request.headers.host === undefined) {
    return new HubError('bad_request', 'The request has no Host header. Add it.')
  }
  return undefined
}

/** Whether a body was announced that is not here yet to its end. */
export function hasUnreadBody({ complete, headers }: IncomingMessage): boolean {
  const { 'content-length': length, 'transfer-encoding': encoding } = headers
  return !complete && (encoding !== undefined || (length !== undefined && length !== '0'))
}

/**
 * Refuses a body in too many parts, or with too much around them, as the parser hands it over: Node holds each chunk
 * as a buffer of its own, read or not, and one of a single byte takes hundreds.
 */
function boundBodyParts(request: IncomingMessage, response: ServerResponse): void {
  const { socket } = request
  // A connection inside this process has no wire, and its caller has read all sizes already.
  const bytesOnWire = (): number => ('bytesRead' in socket ? socket.bytesRead : 0)
  const bytesBefore = bytesOnWire()
  const push = request.push.bind(request)
  let parts = 0
  let isRefused = false
  request.push = (part: Buffer | null) => {
    if (isRefused) return false
    if (part === null) return push(part)
    const wireBytes = bytesOnWire() - bytesBefore
    if (++parts <= limits.REQUEST_PARTS_MAX && wireBytes <= limits.REQUEST_WIRE_BYTES_MAX) {
      // Nothing reads the body of a GET: it would be held for as long as a stream or a poll.
      return request.method === 'GET' ? true : push(part)
    }
    isRefused = true
    if (response.socket !== null) replyError(response, tooManyParts())
    // It waits for its turn: there is nothing yet that it could be told on.
    else socket.destroy()
    return false
  }
}

function tooManyParts(): HubError {
  return new HubError(
    'body_too_large',
    `The body comes in more than ${limits.REQUEST_PARTS_MAX} parts, or takes more than ${limits.REQUEST_WIRE_BYTES_MAX} bytes with their sizes. Send it in larger chunks, or with Content-Length.`,
  )
}

/** A body that drips in is answered 408. */
function boundBodyTime(clock: Clock, request: IncomingMessage, response: ServerResponse): void {
  const timer = clock.setTimer(limits.REQUEST_BODY_MS_MAX, () => {
    if (request.complete) return
    replyError(
      response,
      new HubError(
        'request_timeout',
        `The body was not here within ${limits.REQUEST_BODY_MS_MAX / 1_000} s. Send it again, faster or shorter.`,
      ),
    )
  })
  request.once('end', () => timer.cancel())
  response.once('close', () => timer.cancel())
}

/** Cuts a connection whose reader does not take a reply that is complete. */
function boundReply(clock: Clock, response: ServerResponse): void {
  response.once('prefinish', () => {
    // A reply whose connection is gone tells of its end before this; a timer set now would keep a stopping process up.
    if (response.writableFinished || response.destroyed || response.socket?.destroyed !== false) return
    const timer = clock.setTimer(limits.REPLY_SEND_MS_MAX, () => response.destroy())
    response.once('finish', () => timer.cancel())
    response.once('close', () => timer.cancel())
  })
}
