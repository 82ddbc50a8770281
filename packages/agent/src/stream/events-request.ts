/** Opens the connection of one event stream and makes sure that what answers is one. */
import { DownlinkError } from '@downlink/protocol'
import type { Connection } from '../http/connection.ts'
import type { MirrorTry } from '../mirror/try-mirrors.ts'
import {
  connectionFailure,
  headerOf,
  interimCounter,
  notAnEventStream,
  type FailedRequest,
} from '../http/http-failure.ts'
import { replyFailure } from '../http/json-request.ts'
import type { Requester } from '../http/reply.ts'
import type { ReplyBody } from '../http/reply-body.ts'
import { bootHeaders, connectorTo, prepareRequest, type RequestContext } from '../http/request-context.ts'
import { requesterOf } from '../http/transport.ts'

/** An open connection whose reply is an event stream. */
export interface EventsReply {
  readonly url: URL
  readonly request: FailedRequest
  readonly body: ReplyBody
  /** Something of use came: the bound of the raw bytes begins again. */
  progressed(): void
  /** Ends the connection; resolves once the socket is closed. May be called twice. */
  hangUp(): Promise<void>
}

/**
 * Dials a connection of its own and asks one mirror for the events.
 * @param signal - rules the whole connection, from the name look-up to the last byte. Beside it only the headers have a
 * time limit, and only if another mirror is left to be tried.
 * @throws HttpError unless the answer is 200, `text/event-stream` and not compressed; DownlinkError if it cannot be reached.
 */
export async function requestEvents(
  context: RequestContext,
  { mirror, deadlineMs, isLast, answered }: MirrorTry,
  signal: AbortSignal,
): Promise<EventsReply> {
  const request = prepareRequest(context, mirror, 'GET', 'events')
  const ends = new AbortController()
  const onAbort = (): void => ends.abort(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  const timer = isLast
    ? undefined
    : context.clock.setTimer(deadlineMs, () => ends.abort(timedOut(request, deadlineMs)))
  let connection: Connection | undefined
  const dialled: Requester = {
    async request(asked) {
      connection = await connectorTo(context, mirror)(ends.signal)
      return connection.request(asked)
    },
  }
  const { transport } = context
  const requester = transport === undefined ? dialled : requesterOf(transport, mirror.origin)
  const hangUp = async (): Promise<void> => {
    signal.removeEventListener('abort', onAbort)
    await connection?.destroy()
  }
  try {
    const reply = await requester.request({
      method: request.method,
      path: request.path,
      headers: {
        ...request.headers,
        ...bootHeaders(context),
        accept: 'text/event-stream',
        'cache-control': 'no-cache',
      },
      signal: ends.signal,
      onInterim: interimCounter(request),
    })
    answered()
    timer?.cancel()
    const failure = await replyFailure(request, reply, context.clock)
    if (failure !== undefined) throw failure
    const contentType = headerOf(reply.headers, 'content-type') ?? ''
    if (contentType.split(';')[0]?.trim().toLowerCase() !== 'text/event-stream') {
      reply.body.destroy()
      throw notAnEventStream(request, contentType)
    }
    const url = new URL(request.path, mirror.origin)
    return { url, request, body: reply.body, hangUp, progressed: () => connection?.progressed() }
  } catch (error) {
    timer?.cancel()
    await hangUp()
    // Whatever broke because of the abort, the abort is the cause.
    ends.signal.throwIfAborted()
    throw connectionFailure(request, error)
  }
}

function timedOut(request: FailedRequest, deadlineMs: number): DownlinkError {
  return new DownlinkError(
    'timed_out',
    `${request.name} was not answered within ${Math.round(deadlineMs)} ms, and the next mirror is tried. Something between may hold the answer back.`,
  )
}
