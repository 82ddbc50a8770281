/** Opens the connection of one event stream and makes sure that what answers is one. */
import { Client } from 'undici'
import { connectionFailure, headerOf, shown, unusableReply, type FailedRequest } from './http-failure.ts'
import { replyFailure } from './json-request.ts'
import { discardBody } from './reply-body.ts'
import { connectionOptions, prepareRequest, type RequestContext } from './request-context.ts'

/** An open connection whose reply is an event stream. */
export interface EventsReply {
  readonly url: URL
  readonly request: FailedRequest
  readonly body: AsyncIterable<Uint8Array>
  /** Ends the connection; resolves once the socket is closed. May be called twice. */
  hangUp(): Promise<void>
}

/** Bytes of the body that undici may hold beyond the socket's own buffer: back-pressure should begin early. */
const BODY_BUFFER_BYTES = 16_384

/**
 * Dials a connection of its own and asks for the events.
 * @param signal - rules the whole connection, from the name look-up to the last byte; nothing else limits its time.
 * @throws HttpError unless the answer is 200, `text/event-stream` and not compressed; DownlinkError if it cannot be reached.
 */
export async function requestEvents(context: RequestContext, signal: AbortSignal): Promise<EventsReply> {
  const request = prepareRequest(context, 'GET', 'events')
  const { bootNonce, connectCounter } = context.boot.next()
  const journalId = context.journalId()
  const client = new Client(context.hub.origin, connectionOptions(signal))
  try {
    const reply = await client.request({
      method: 'GET',
      path: request.path,
      headers: {
        ...request.headers,
        accept: 'text/event-stream',
        'cache-control': 'no-cache',
        'downlink-boot': bootNonce,
        'downlink-connect': String(connectCounter),
        ...(journalId === undefined ? {} : { 'downlink-journal': journalId }),
      },
      signal,
      highWaterMark: BODY_BUFFER_BYTES,
    })
    const failure = await replyFailure(request, reply, context.clock)
    if (failure !== undefined) throw failure
    const contentType = headerOf(reply.headers, 'content-type') ?? ''
    if (contentType.split(';')[0]?.trim().toLowerCase() !== 'text/event-stream') {
      discardBody(reply.body)
      throw notAnEventStream(request, contentType)
    }
    const url = new URL(request.path, context.hub.origin)
    return { url, request, body: reply.body as AsyncIterable<Uint8Array>, hangUp: () => client.destroy() }
  } catch (error) {
    await client.destroy()
    throw connectionFailure(request, error)
  }
}

function notAnEventStream(request: FailedRequest, contentType: string): Error {
  const came = contentType === '' ? 'has no content type' : `is ${shown(contentType)}`
  return unusableReply(
    request,
    200,
    'not_an_event_stream',
    `what came ${came} and not text/event-stream. Something between, such as a login page, may answer in the hub's place.`,
  )
}
