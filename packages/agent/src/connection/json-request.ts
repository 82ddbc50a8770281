/** One JSON request and its reply, within one deadline from dialling to the last byte. */
import {
  DownlinkError,
  isJsonObject,
  limits,
  parseJson,
  type Clock,
  type Json,
  type JsonObject,
} from '@downlink/protocol'
import type { Dispatcher } from 'undici'
import {
  compression,
  connectionFailure,
  headerExcess,
  headerOf,
  interimCounter,
  redirectRefusal,
  refusal,
  unusableReply,
} from './http-failure.ts'
import { withDeadline } from './deadline.ts'
import { discardBody, readBody, readErrorBody } from './reply-body.ts'
import type { PreparedRequest } from './request-context.ts'
import type { Requester } from './transport.ts'

/** When to give up: the caller's signal, and the deadline of the whole exchange. */
export interface JsonRequestLimits {
  readonly deadlineMs: number
  readonly signal?: AbortSignal
  /** Called when the reply's headers have come. */
  readonly answered?: () => void
}

/**
 * Sends the request, with `body` if there is one, and returns the reply's JSON object.
 * @throws HttpError for a reply that refuses, redirects, is compressed or is no JSON object; DownlinkError `timed_out`,
 * `reply_too_large` or of a failed connection; the signal's reason when it aborts.
 */
export async function requestJson(
  requester: Requester,
  clock: Clock,
  request: PreparedRequest,
  body: JsonObject | undefined,
  { deadlineMs, signal, answered }: JsonRequestLimits,
): Promise<JsonObject> {
  const passed = (): DownlinkError =>
    new DownlinkError(
      'timed_out',
      `${request.name} was not answered in full within ${deadlineMs} ms. The hub, or something between, is slow or silent.`,
    )
  return withDeadline(clock, deadlineMs, signal, passed, async (bounded) => {
    try {
      const reply = await requester.request({
        method: request.method,
        path: request.path,
        headers: {
          ...request.headers,
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: bounded,
        onInfo: interimCounter(request),
      })
      answered?.()
      return objectOf(request, reply, await textOf(request, reply, clock))
    } catch (error) {
      throw connectionFailure(request, error)
    }
  })
}

/** The text of a successful reply. @throws HttpError for any other, once its body is read within its bounds or dropped. */
async function textOf(
  request: PreparedRequest,
  reply: Dispatcher.ResponseData,
  clock: Clock,
): Promise<string> {
  const { statusCode, headers, body } = reply
  const failure = await replyFailure(request, reply, clock)
  if (failure !== undefined) throw failure
  if (Number(headerOf(headers, 'content-length') ?? 0) > limits.REPLY_BYTES_MAX) {
    discardBody(body)
    throw unusableReply(
      request,
      statusCode,
      'reply_too_large',
      `its body is larger than ${limits.REPLY_BYTES_MAX} bytes. The hub must split it.`,
    )
  }
  return readBody(body, limits.REPLY_BYTES_MAX)
}

/** What is wrong with a reply by its status and headers, or undefined. The body of a reply that is wrong is read or dropped. */
export async function replyFailure(
  request: PreparedRequest,
  { statusCode, headers, body }: Dispatcher.ResponseData,
  clock: Clock,
): Promise<DownlinkError | undefined> {
  const excess = headerExcess(request, headers)
  if (excess !== undefined) {
    discardBody(body)
    return excess
  }
  if (statusCode >= 300 && statusCode < 400) {
    discardBody(body)
    return redirectRefusal(request, statusCode, headerOf(headers, 'location'))
  }
  const encoding = compression(headers)
  if (statusCode !== 200) {
    if (encoding !== undefined) discardBody(body)
    const text = encoding === undefined ? await readErrorBody(body, clock) : ''
    return refusal(request, { status: statusCode, headers }, text, clock.wallMs())
  }
  if (encoding === undefined) return undefined
  discardBody(body)
  return unusableReply(
    request,
    statusCode,
    'compressed_reply',
    `its body is compressed (${encoding}), which was not asked for. Turn compression off for the agents' API.`,
  )
}

function objectOf(
  request: PreparedRequest,
  { statusCode, headers }: Dispatcher.ResponseData,
  text: string,
): JsonObject {
  const json: Json | undefined = parseJson(text, limits.JSON_DEPTH_MAX)
  if (json !== undefined && isJsonObject(json)) return json
  const contentType = headerOf(headers, 'content-type') ?? ''
  throw unusableReply(
    request,
    statusCode,
    /^text\/html\b/i.test(contentType.trim()) ? 'not_a_hub' : 'bad_reply',
    `its body is no JSON object of at most ${limits.JSON_DEPTH_MAX} levels. Something between, such as a login page, may answer in the hub's place.`,
  )
}
