/** Sends one request to the hub: again when that may help, within bounds of attempts, time and bytes. */
import {
  delay,
  DownlinkError,
  limits,
  parseJson,
  type Clock,
  type Json,
  type Random,
} from '@downlink/protocol'
import { retryDelayMs } from './backoff.ts'
import { readBody, readErrorBody } from './reply-body.ts'
import { badReplyError, redirectError, replyError, timeoutError, unreachableError } from './reply-error.ts'

/** Deeper than what anybody may send, as a record wraps it. */
const REPLY_DEPTH_MAX = limits.JSON_DEPTH_MAX + 8

/** A request of the operator API. */
export interface HubRequest {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** Below `/api/v1`, its parts already encoded. */
  readonly path: string
  /** Read again for every attempt, so that a wait gets shorter. */
  readonly query?: () => Readonly<Record<string, string | undefined>>
  readonly body?: Json
  readonly idempotencyKey?: string
  /** @defaultValue JSON */
  readonly accept?: string
  /** How long the hub is asked to hold its answer, ms; the reply is awaited so much longer. */
  readonly waitMs?: number
  readonly signal?: AbortSignal | undefined
}

/** Where requests go and what they are sent with. */
export interface HubConnection {
  readonly base: URL
  readonly token: string
  readonly fetch: typeof fetch
  readonly clock: Clock
  readonly random: Random
}

/**
 * The JSON of the reply; null for a reply without a body.
 * @throws HttpError for a reply that is no success, DownlinkError `hub_unreachable`, `reply_timeout`, `reply_too_large`
 * or `bad_reply`, and the signal's reason.
 */
export async function sendRequest(connection: HubConnection, request: HubRequest): Promise<Json> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await sendOnce(connection, request)
    } catch (error) {
      request.signal?.throwIfAborted()
      const delayMs = retryDelayMs(error, attempt, connection.random())
      if (delayMs === undefined) throw error
      await delay(connection.clock, delayMs, request.signal)
    }
  }
}

async function sendOnce(connection: HubConnection, request: HubRequest): Promise<Json> {
  request.signal?.throwIfAborted()
  const name = `${request.method} /api/v1${request.path} at ${connection.base.host}`
  const deadlineMs = limits.REQUEST_MS_MAX + (request.waitMs ?? 0)
  const controller = new AbortController()
  const timer = connection.clock.setTimer(deadlineMs, () => controller.abort(timeoutError(name, deadlineMs)))
  const onAbort = (): void => controller.abort(request.signal?.reason)
  request.signal?.addEventListener('abort', onAbort, { once: true })
  try {
    return await exchange(connection, request, name, controller.signal)
  } catch (error) {
    // Whatever broke because of the abort, the abort is the cause.
    controller.signal.throwIfAborted()
    throw error instanceof DownlinkError ? error : unreachableError(name, error)
  } finally {
    timer.cancel()
    request.signal?.removeEventListener('abort', onAbort)
  }
}

async function exchange(
  connection: HubConnection,
  request: HubRequest,
  name: string,
  signal: AbortSignal,
): Promise<Json> {
  const response = await openReply(connection, request, name, signal)
  const text = await readBody(response, limits.OPERATOR_REPLY_BYTES_MAX)
  if (text === '') return null
  const json = parseJson(text, REPLY_DEPTH_MAX)
  if (json === undefined) throw badReplyError(name, 'not with JSON')
  return json
}

/**
 * A reply that is a success, its body unread.
 * @throws HttpError for any other, and what `fetch` throws.
 */
export async function openReply(
  connection: HubConnection,
  request: HubRequest,
  name: string,
  signal: AbortSignal,
): Promise<Response> {
  const { token } = connection
  const response = await connection.fetch(urlOf(connection.base, request), {
    method: request.method,
    headers: headersOf(token, request),
    redirect: 'manual',
    signal,
    ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
  })
  const { status } = response
  if (response.type === 'opaqueredirect' || (status >= 300 && status < 400)) {
    await response.body?.cancel().catch(() => undefined)
    throw redirectError(name, status)
  }
  if (!response.ok) {
    const body = await readErrorBody(response, limits.ERROR_BODY_BYTES_MAX)
    throw replyError({ name, token }, { status, retryAfter: response.headers.get('retry-after') }, body)
  }
  return response
}

function urlOf(base: URL, request: HubRequest): URL {
  const url = new URL(base)
  url.pathname = `${base.pathname.replace(/\/$/, '')}/api/v1${request.path}`
  for (const [name, value] of Object.entries(request.query?.() ?? {})) {
    if (value !== undefined) url.searchParams.set(name, value)
  }
  return url
}

function headersOf(token: string, request: HubRequest): Record<string, string> {
  return {
    accept: request.accept ?? 'application/json',
    authorization: `Bearer ${token}`,
    ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(request.idempotencyKey === undefined ? {} : { 'idempotency-key': request.idempotencyKey }),
  }
}
