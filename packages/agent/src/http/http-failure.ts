/** Turns what goes wrong between an agent and its hub into errors with a code, a remedy and no secret. */
import {
  DownlinkError,
  escapeControlCharacters,
  HttpError,
  isJsonObject,
  limits,
  parseJson,
  stringField,
} from '@downlink/protocol'
import { isBlocking } from '../standing/standing-machine.ts'
import { MalformedReplyError, ProxyError, RawBytesError } from './connection-errors.ts'

/** The headers of a reply, names in lower case. */
export type ReplyHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/** The request that an error is about, and what must not be shown of it. */
export interface FailedRequest {
  /** Such as `POST sync at hub.example.com`. */
  readonly name: string
  /** Keys that the request carried: a hub may echo them in its reply. */
  readonly secrets: readonly string[]
}

const ERROR_CODE = /^[a-z][a-z0-9_]{0,63}$/
/** So many characters of a secret, cut off by the end of a body, are still taken out. */
const SECRET_HEAD_CHARS_MIN = 6
const SHOWN_CHARS_MAX = 200
const PROXY_REMEDY =
  'Check the proxy that HTTPS_PROXY or the option `proxy` names, and its user and password.'

/** The first value of a header, or undefined. */
export function headerOf(headers: ReplyHeaders, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.[0]
}

/**
 * How long the server asks to wait, ms, from 0 to `RETRY_MS_MAX`, or undefined if it does not ask.
 * A date is compared with the server's own `Date`, as this machine's clock may be wrong.
 */
export function retryAfterMs(headers: ReplyHeaders, wallMs: number): number | undefined {
  const value = headerOf(headers, 'retry-after')?.trim()
  if (value === undefined) return undefined
  const serverMs = Date.parse(headerOf(headers, 'date') ?? '')
  const askedMs = /^\d{1,10}$/.test(value)
    ? Number(value) * 1_000
    : value.endsWith(' GMT')
      ? Date.parse(value) - (Number.isNaN(serverMs) ? wallMs : serverMs)
      : Number.NaN
  return Number.isNaN(askedMs) ? undefined : Math.min(limits.RETRY_MS_MAX, Math.max(0, askedMs))
}

/** A reply that refuses the request: the code of its JSON, or `http_502` by its status for HTML, empty and other bodies. */
export function refusal(
  request: FailedRequest,
  reply: { readonly status: number; readonly headers: ReplyHeaders },
  body: string,
  wallMs: number,
): HttpError {
  // What stands for a secret may be longer than the part of it that came.
  const text = withoutSecrets(body, request.secrets).slice(0, limits.ERROR_BODY_BYTES_MAX)
  const json = parseJson(text, limits.JSON_DEPTH_MAX) ?? null
  const named = isJsonObject(json) ? stringField(json, 'error', 64) : undefined
  const code = named !== undefined && ERROR_CODE.test(named) ? named : `http_${reply.status}`
  const said = isJsonObject(json) ? stringField(json, 'message', limits.ERROR_BODY_BYTES_MAX) : undefined
  const waitMs = retryAfterMs(reply.headers, wallMs)
  const sentence =
    said === undefined
      ? `Code ${code}. Look at the hub's log, or at the proxy in front of it.`
      : `${code}: ${escapeControlCharacters(said)}`
  return new HttpError(reply.status, code, `${request.name} was answered ${reply.status}. ${sentence}`, {
    body: text,
    ...(isBlocking(reply.status, code) ? { retry: 'never' } : {}),
    ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
  })
}

/** A redirect, which is never followed: it would hand the credential, and the word of command, to whoever answers there. */
export function redirectRefusal(
  request: FailedRequest,
  status: number,
  location: string | undefined,
): HttpError {
  const target = location !== undefined && URL.canParse(location) ? new URL(location).origin : 'another place'
  return new HttpError(
    status,
    'redirect_refused',
    `${request.name} was answered ${status}, a redirect to ${shown(target)}, and redirects are never followed. Set the hub's URL to where it is, or sign in if a login page stands between.`,
  )
}

/** A reply that came but is not what was asked for. */
export function unusableReply(
  request: FailedRequest,
  status: number,
  code: string,
  fault: string,
): HttpError {
  return new HttpError(status, code, `${request.name} was answered ${status}, but ${fault}`)
}

/** A reply that is a success but no event stream: a web page, which says that something else answers, or anything else. */
export function notAnEventStream(request: FailedRequest, contentType: string): HttpError {
  const came = contentType === '' ? 'has no content type' : `is ${shown(contentType)}`
  const fault = `what came ${came} and not text/event-stream. Something between, such as a login page, may answer in the hub's place.`
  const code = isWebPage(contentType) ? 'not_a_hub' : 'not_an_event_stream'
  return unusableReply(request, 200, code, fault)
}

/** Whether a reply is a web page. */
export function isWebPage(contentType: string): boolean {
  return /^\s*(?:text\/html|application\/xhtml\+xml)\b/i.test(contentType)
}

/** Why too many headers came, or undefined: names cost more memory than the bytes that are bounded already. */
export function headerExcess(request: FailedRequest, headers: ReplyHeaders): DownlinkError | undefined {
  let count = 0
  for (const value of Object.values(headers)) count += Array.isArray(value) ? value.length : 1
  if (count <= limits.RESPONSE_HEADERS_MAX) return undefined
  return new DownlinkError(
    'reply_headers_too_large',
    `${request.name} was answered with ${count} headers, and ${limits.RESPONSE_HEADERS_MAX} are the most that are taken; look at the proxies between.`,
    { retry: 'backoff' },
  )
}

/** Counts interim replies, and refuses one too many. */
export function interimCounter(request: FailedRequest): () => void {
  let count = 0
  return () => {
    count += 1
    if (count <= limits.INTERIM_REPLIES_MAX) return
    throw new DownlinkError(
      'too_many_interim_replies',
      `${request.name} was answered with more than ${limits.INTERIM_REPLIES_MAX} interim (1xx) replies and none that counts; look at the proxies between.`,
      { retry: 'backoff' },
    )
  }
}

/** Says that a body is compressed, or undefined if it is not: none was asked for, and one may unpack to any size. */
export function compression(headers: ReplyHeaders): string | undefined {
  const encoding = headerOf(headers, 'content-encoding')?.trim().toLowerCase() ?? ''
  return encoding === '' || encoding === 'identity' ? undefined : shown(encoding)
}

/** Untrusted text for a message: one line, not long. */
export function shown(text: string): string {
  return escapeControlCharacters(text.slice(0, SHOWN_CHARS_MAX))
}

/** What a failed connection means: which step failed, and what to look at. A DownlinkError passes unchanged. */
export function connectionFailure(request: FailedRequest, error: unknown): DownlinkError {
  if (error instanceof DownlinkError) return error
  if (error instanceof ProxyError) {
    const message = `${request.name} failed: ${error.message} ${PROXY_REMEDY}`
    return new DownlinkError('proxy_failed', message, { retry: 'backoff' })
  }
  if (error instanceof RawBytesError) {
    const message = `${request.name} failed: ${error.message} What answers there pads without end.`
    return new DownlinkError('raw_bytes_exceeded', message, { retry: 'backoff' })
  }
  if (error instanceof MalformedReplyError) {
    const message = `${request.name} failed: ${error.message} What answers there does not speak HTTP/1.1.`
    return new DownlinkError('reply_malformed', message, { retry: 'backoff' })
  }
  const systemCode = codeOf(error)
  const { code, remedy } = classify(systemCode)
  return new DownlinkError(code, `${request.name} failed: ${systemCode}. ${remedy}`, {
    retry: 'backoff',
    cause: error,
  })
}

function classify(systemCode: string): { readonly code: string; readonly remedy: string } {
  if (systemCode === 'ENOTFOUND' || systemCode.startsWith('EAI_')) {
    return { code: 'dns_failed', remedy: "The hub's name cannot be resolved; check the URL and the network." }
  }
  if (systemCode === 'ERR_NAME_TIMEOUT') {
    const remedy = `The name server did not answer within ${limits.CONNECT_MS_MAX} ms; check which one this machine asks, and the network.`
    return { code: 'dns_failed', remedy }
  }
  if (systemCode === 'ERR_TLS_TIMEOUT') {
    const remedy = `The TLS handshake was not answered within ${limits.CONNECT_MS_MAX} ms; what listens there may speak no TLS, or stand still.`
    return { code: 'tls_failed', remedy }
  }
  if (systemCode === 'ERR_CONNECT_TIMEOUT' || systemCode === 'ETIMEDOUT') {
    return {
      code: 'connect_timeout',
      remedy: `No connection within ${limits.CONNECT_MS_MAX} ms; a firewall may drop it.`,
    }
  }
  if (['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL', 'EACCES'].includes(systemCode)) {
    return { code: 'connect_failed', remedy: 'Check that the hub runs and that its port is open from here.' }
  }
  if (/EPROTO|CERT|TLS|SSL|SIGNATURE|ISSUER|CHAIN/.test(systemCode)) {
    return { code: 'tls_failed', remedy: "Check the hub's certificate and who issues certificates here." }
  }
  if (systemCode === 'ERR_HEAD_TOO_LARGE') {
    return {
      code: 'reply_headers_too_large',
      remedy: `The reply's headers are larger than ${limits.RESPONSE_HEADER_BYTES_MAX} bytes, or far too many; look at the proxies between.`,
    }
  }
  if (['ERR_CLIENT_CLOSED', 'ABORT_ERR'].includes(systemCode)) {
    return { code: 'client_closed', remedy: 'The agent client was closed; make a new one.' }
  }
  return { code: 'connection_lost', remedy: 'The hub or something between closed the connection.' }
}

/** The system's code of an error; of several addresses that all failed, that of the last. */
function codeOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return codeOf(error.errors.at(-1))
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : 'connection error'
}

function withoutSecrets(text: string, secrets: readonly string[]): string {
  let clean = text
  for (const secret of secrets) {
    clean = clean.replaceAll(secret, '[credential]')
    for (let chars = secret.length - 1; chars >= SECRET_HEAD_CHARS_MIN; chars -= 1) {
      if (clean.endsWith(secret.slice(0, chars))) {
        clean = `${clean.slice(0, -chars)}[credential]`
        break
      }
    }
  }
  return clean
}
