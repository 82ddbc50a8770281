/** The error codes of both APIs in one table, and the error classes that both ends throw. */

/** What a caller may do about an error: nothing, try again after a delay, or sync first. */
export type Retry = 'never' | 'backoff' | 'resync'

/** Every code that a hub answers with, its HTTP status and what the caller may do. */
export const ERROR_CODES = {
  bad_request: { status: 400, retry: 'never' },
  bad_json: { status: 400, retry: 'never' },
  bad_idempotency_key: { status: 400, retry: 'never' },
  args_reserved_name: { status: 400, retry: 'never' },
  args_too_large: { status: 400, retry: 'never' },
  input_too_large: { status: 400, retry: 'never' },
  unauthorized: { status: 401, retry: 'never' },
  key_retired: { status: 401, retry: 'never' },
  invalid: { status: 401, retry: 'never' },
  forbidden: { status: 403, retry: 'never' },
  agent_key_mismatch: { status: 403, retry: 'never' },
  not_found: { status: 404, retry: 'never' },
  agent_not_found: { status: 404, retry: 'never' },
  task_not_found: { status: 404, retry: 'never' },
  control_not_found: { status: 404, retry: 'never' },
  method_not_allowed: { status: 405, retry: 'never' },
  request_timeout: { status: 408, retry: 'backoff' },
  expired: { status: 409, retry: 'never' },
  used: { status: 409, retry: 'never' },
  revoked: { status: 409, retry: 'never' },
  agent_exists: { status: 409, retry: 'never' },
  agent_hash_taken: { status: 409, retry: 'never' },
  agent_mismatch: { status: 403, retry: 'never' },
  task_exists: { status: 409, retry: 'never' },
  task_finished: { status: 409, retry: 'never' },
  task_cancelling: { status: 409, retry: 'never' },
  idempotency_conflict: { status: 409, retry: 'never' },
  mailbox_full: { status: 409, retry: 'backoff' },
  lane_full: { status: 409, retry: 'backoff' },
  agent_revoked: { status: 410, retry: 'never' },
  agent_version_too_old: { status: 412, retry: 'never' },
  body_too_large: { status: 413, retry: 'never' },
  unsupported_media_type: { status: 415, retry: 'never' },
  headers_too_large: { status: 431, retry: 'never' },
  too_many_requests: { status: 429, retry: 'backoff' },
  internal: { status: 500, retry: 'backoff' },
  not_supported_here: { status: 501, retry: 'never' },
  authentication_unavailable: { status: 503, retry: 'backoff' },
  store_unavailable: { status: 503, retry: 'backoff' },
  store_full: { status: 503, retry: 'backoff' },
  store_failed: { status: 503, retry: 'backoff' },
  outcome_unknown: { status: 503, retry: 'backoff' },
  draining: { status: 503, retry: 'backoff' },
  too_many_waiters: { status: 503, retry: 'backoff' },
  too_many_streams: { status: 503, retry: 'backoff' },
} as const

/** A code of {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES

/** The JSON body of every error reply. */
export interface ErrorBody {
  readonly error: string
  readonly message?: string
  readonly details?: unknown
}

/**
 * An expected failure of Downlink.
 * `code` is stable and meant for programs; `message` says what happened, the limit and the remedy, and holds no secret.
 */
export class DownlinkError extends Error {
  readonly code: string
  readonly retry: Retry
  constructor(code: string, message: string, options: { retry?: Retry; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'DownlinkError'
    this.code = code
    this.retry = options.retry ?? retryOf(code)
  }
}

/** What a caller may do about `code`; an unknown code is worth another try. */
export function retryOf(code: string): Retry {
  return Object.hasOwn(ERROR_CODES, code) ? ERROR_CODES[code as ErrorCode].retry : 'backoff'
}

/** A reply that is not a success: its status, the first bytes of its body, and how long the server asked to wait. */
export class HttpError extends DownlinkError {
  readonly status: number
  /** At most `ERROR_BODY_BYTES_MAX` bytes of the reply's body. */
  readonly body: string
  readonly retryAfterMs?: number
  constructor(
    status: number,
    code: string,
    message: string,
    options: { body?: string; retryAfterMs?: number; retry?: Retry; cause?: unknown } = {},
  ) {
    super(code, message, options)
    this.name = 'HttpError'
    this.status = status
    this.body = options.body ?? ''
    if (options.retryAfterMs !== undefined) this.retryAfterMs = options.retryAfterMs
  }
}
