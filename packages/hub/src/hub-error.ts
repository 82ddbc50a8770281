/** The error that both APIs answer with: a code of the one table, its status, a sentence with the remedy. */
import { DownlinkError, ERROR_CODES, type ErrorBody, type ErrorCode, type Json } from '@downlink/protocol'
import { StoreError, type StoreErrorCode } from './store/store.ts'

/** An expected refusal. `message` holds no secret; `details` is data for programs. */
export class HubError extends DownlinkError {
  declare readonly code: ErrorCode
  readonly status: number
  readonly details?: Json
  /** When another try may succeed, for `Retry-After`. */
  readonly retryAfterMs?: number
  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: Json; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(code, message, { cause: options.cause })
    this.name = 'HubError'
    this.status = ERROR_CODES[code].status
    if (options.details !== undefined) this.details = options.details
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs
  }
}

/** What each failure of the store means; what the store says itself names files, and goes to the log. */
const STORE_SENTENCES: Readonly<Record<Exclude<StoreErrorCode, 'store_closed'>, string>> = {
  outcome_unknown:
    'Whether this was stored is unknown. Send it again with the same Idempotency-Key; it is then stored once.',
  store_unavailable: 'The hub could not reach its store, so nothing was changed. Try again shortly.',
  store_full:
    "There is no space left for the hub's store, so nothing was changed. Free space on its disk; the hub goes on by itself then.",
  store_failed:
    "The disk of the hub's store fails, so nothing was changed. The hub's log says how; it tries the disk again by itself.",
}

/** What an error is to the caller: a {@link HubError} as it is, a store's as 503, anything else as `internal` without its text. */
export function hubErrorOf(error: unknown): HubError {
  if (error instanceof HubError) return error
  if (error instanceof StoreError) {
    const code = error.code === 'store_closed' ? 'store_unavailable' : error.code
    return new HubError(code, STORE_SENTENCES[code], { cause: error })
  }
  return new HubError(
    'internal',
    'The hub failed to answer this request. Try again; its log says what happened.',
    { cause: error },
  )
}

/** The JSON body of an error reply. */
export function errorBody(error: HubError): ErrorBody {
  return {
    error: error.code,
    message: error.message,
    ...(error.details === undefined ? {} : { details: error.details }),
  }
}

/** The headers that belong to an error, beside those of its body. */
export function errorHeaders(error: HubError): Readonly<Record<string, string>> {
  if (error.status === 401) return { 'WWW-Authenticate': 'Bearer' }
  if (error.status !== 429 && error.status !== 503) return {}
  return { 'Retry-After': String(Math.max(1, Math.ceil((error.retryAfterMs ?? 0) / 1_000))) }
}
