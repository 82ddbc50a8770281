/** What leaves the machine of an error: a code and its message, cut to its bound. */
import { DownlinkError, limits } from '@downlink/protocol'

/** Why something failed. */
export interface Failure {
  readonly code: string
  readonly message: string
}

/** The failure that `error` is; `code` if it is none of Downlink's. Total: anything can be thrown. */
export function failureOf(error: unknown, code: string): Failure {
  const message = error instanceof Error ? error.message : textOf(error)
  return {
    code: error instanceof DownlinkError ? error.code : code,
    message: message.slice(0, limits.MESSAGE_CHARS_MAX),
  }
}

function textOf(value: unknown): string {
  try {
    return String(value)
  } catch {
    return 'Something was thrown that is not an Error.'
  }
}
