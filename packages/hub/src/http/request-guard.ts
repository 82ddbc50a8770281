/** Bounds what one request and its connection may cost, before any route sees it and on any server. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { limits, type Clock } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import { replyError } from './json-reply.ts'

/** Runs `answer` when it is the request's turn, or answers it with an error. */
export type RequestGuard = (request: IncomingMessage, response: ServerResponse, answer: () => void) => void

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
    boundBody(clock, request, response)
    boundReply(clock, response)
    answer()
  }

  return (request, response, answer) => {
    const { socket } = request
    const line = lines.get(socket) ?? { isBusy: false, waiting: [] }
    lines.set(socket, line)
    if (!line.isBusy) run(line, request, response, answer)
    else if (line.waiting.length < limits.PIPELINED_REQUESTS_MAX) {
      line.waiting.push(() => run(line, request, response, answer))
    } else socket.destroy()
  }
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

/** A body that drips in is answered 408; what is read of it is bounded where it is read. */
function boundBody(clock: Clock, request: IncomingMessage, response: ServerResponse): void {
  const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
  if (request.complete || (encoding === undefined && (length === undefined || length === '0'))) return
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
