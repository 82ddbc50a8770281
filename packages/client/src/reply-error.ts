/** Turns a reply that is no success, or none at all, into an error with a code, a remedy and no secret. */
import {
  DownlinkError,
  escapeControlCharacters,
  field,
  HttpError,
  isJsonObject,
  limits,
  parseJson,
  stringField,
  type Json,
} from '@downlink/protocol'

const ERROR_CODE = /^[a-z][a-z0-9_]{0,63}$/
/** So many characters of a token, cut off by the end of a body, are still taken out. */
const TOKEN_HEAD_CHARS_MIN = 6

/** The `details` that the hub gave with an error, such as the `controlId` of the open cancel with `task_cancelling`. */
export function errorDetails(error: HttpError): Json | undefined {
  const body = parseJson(error.body, limits.JSON_DEPTH_MAX)
  return isJsonObject(body) ? field(body, 'details') : undefined
}

/** The error of a reply with `status`: the code of its JSON, or `http_502` by its status for HTML, empty and other bodies. */
export function replyError(
  request: { readonly name: string; readonly token: string },
  reply: { readonly status: number; readonly retryAfter: string | null },
  body: string,
): HttpError {
  const { status } = reply
  const text = withoutToken(body, request.token)
  const json = parseJson(text, limits.JSON_DEPTH_MAX)
  const named = isJsonObject(json) ? stringField(json, 'error', 64) : undefined
  const code = named !== undefined && ERROR_CODE.test(named) ? named : `http_${status}`
  const said = isJsonObject(json) ? stringField(json, 'message', limits.ERROR_BODY_BYTES_MAX) : undefined
  const sentence =
    said === undefined
      ? `Code ${code}. Look at the hub's log, or at the proxy in front of it.`
      : `${code}: ${escapeControlCharacters(said)}`
  const retryAfterMs = secondsToMs(reply.retryAfter)
  return new HttpError(status, code, `${request.name} was answered ${status}. ${sentence}`, {
    body: text,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

/** A redirect, which is never followed: it would hand the token to whoever answers there. */
export function redirectError(name: string, status: number): HttpError {
  return new HttpError(
    status,
    'redirect_refused',
    `${name} was answered with a redirect, and redirects are never followed. Give the URL where the hub is, or sign in if a login page stands between.`,
    { retry: 'never' },
  )
}

/** No reply: the connection was refused or broke. */
export function unreachableError(name: string, error: unknown): DownlinkError {
  const reason = systemCode(error)
  return new DownlinkError(
    'hub_unreachable',
    `${name} got no reply${reason === undefined ? '' : ` (${reason})`}. Check that the hub runs and can be reached from here.`,
    { retry: 'backoff', cause: error },
  )
}

/** No reply in time. */
export function timeoutError(name: string, deadlineMs: number): DownlinkError {
  return new DownlinkError(
    'reply_timeout',
    `${name} was not answered within ${deadlineMs} ms. Check the hub's load and the network.`,
    { retry: 'backoff' },
  )
}

/** A success whose body is not what was asked for. */
export function badReplyError(name: string, fault: string): DownlinkError {
  return new DownlinkError(
    'bad_reply',
    `${name} was answered, but ${fault}. Check that the URL is a hub's, and its version.`,
    { retry: 'never' },
  )
}

/** Only seconds are read: a date would need this machine's clock to agree with the hub's. */
function secondsToMs(retryAfter: string | null): number | undefined {
  const value = retryAfter?.trim() ?? ''
  return /^\d{1,10}$/.test(value) ? Math.min(limits.RETRY_MS_MAX, Number(value) * 1_000) : undefined
}

/** The system's code of a failed fetch, which Node keeps one or two causes deep. */
function systemCode(error: unknown): string | undefined {
  let at = error
  for (let depth = 0; depth < 4 && at instanceof Error; depth += 1) {
    if ('code' in at && typeof at.code === 'string' && /^[A-Z][A-Z0-9_]{1,40}$/.test(at.code)) return at.code
    at = at.cause
  }
  return undefined
}

function withoutToken(text: string, token: string): string {
  const clean = text.replaceAll(token, '[token]')
  for (let chars = token.length - 1; chars >= TOKEN_HEAD_CHARS_MIN; chars -= 1) {
    if (clean.endsWith(token.slice(0, chars))) return `${clean.slice(0, -chars)}[token]`
  }
  return clean
}
