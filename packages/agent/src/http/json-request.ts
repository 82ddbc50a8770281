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
import {
  compression,
  connectionFailure,
  headerExcess,
  headerOf,
  interimCounter,
  isWebPage,
  redirectRefusal,
  refusal,
  unusableReply,
  type ReplyHeaders,
} from './http-failure.ts'
import { withDeadline } from './deadline.ts'
import type { Reply, Requester } from './reply.ts'
import { readBody, readErrorBody } from './reply-body.ts'
import type { PreparedRequest } from './request-context.ts'

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
        onInterim: interimCounter(request),
      })
      answered?.()
      return objectOf(request, reply, await textOf(request, reply, clock))
    } catch (error) {
      throw connectionFailure(request, error)
    }
  })
}

/** The text of a successful reply. @throws HttpError for any other, once its body is read within its bounds or dropped. */
async function textOf(request: PreparedRequest, reply: Reply, clock: Clock): Promise<string> {
  const { statusCode, headers, body } = reply
  const failure = await replyFailure(request, reply, clock)
  if (failure !== undefined) throw failure
  const isTooLong = Number(headerOf(headers, 'content-length') ?? 0) > limits.REPLY_BYTES_MAX
  if (isTooLong) body.destroy()
  const text = isTooLong ? undefined : await readBody(body, limits.REPLY_BYTES_MAX)
  if (text !== undefined) return text
  if (isHtml(headers)) throw notAHub(request, reply)
  throw unusableReply(
    request,
    statusCode,
    'reply_too_large',
    `its body is larger than ${limits.REPLY_BYTES_MAX} bytes and was not read further. The hub must split it.`,
  )
}

/** What is wrong with a reply by its status and headers, or undefined. The body of a reply that is wrong is read or dropped. */
export async function replyFailure(
  request: PreparedRequest,
  { statusCode, headers, body }: Reply,
  clock: Clock,
): Promise<DownlinkError | undefined> {
  const excess = headerExcess(request, headers)
  if (excess !== undefined) {
    body.destroy()
    return excess
  }
  if (statusCode >= 300 && statusCode < 400) {
    body.destroy()
    return redirectRefusal(request, statusCode, headerOf(headers, 'location'))
  }
  const encoding = compression(headers)
  if (statusCode !== 200) {
    if (encoding !== undefined) body.destroy()
    const text = encoding === undefined ? await readErrorBody(body, clock) : ''
    return refusal(request, { status: statusCode, headers }, text, clock.wallMs())
  }
  if (encoding === undefined) return undefined
  body.destroy()
  return unusableReply(
    request,
    statusCode,
    'compressed_reply',
    `its body is compressed (${encoding}), which was not asked for. Turn compression off for the agents' API.`,
  )
}

function objectOf(request: PreparedRequest, reply: Reply, text: string): JsonObject {
  const json: Json | undefined = parseJson(text, limits.JSON_DEPTH_MAX)
  if (json !== undefined && isJsonObject(json)) return json
  throw notAHub(request, reply)
}

function notAHub(request: PreparedRequest, { statusCode, headers }: Reply): DownlinkError {
  return unusableReply(
    request,
    statusCode,
    isHtml(headers) ? 'not_a_hub' : 'bad_reply',
    `its body is no JSON object of at most ${limits.JSON_DEPTH_MAX} levels. Something between, such as a login page, may answer in the hub's place.`,
  )
}

function isHtml(headers: ReplyHeaders): boolean {
  return isWebPage(headerOf(headers, 'content-type') ?? '')
}
