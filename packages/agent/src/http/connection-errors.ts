/** What can go wrong with a connection, beside what the system says; each has a code, and shows nothing of what came. */
import { limits } from '@downlink/protocol'

/** The proxy cannot be reached, or refuses the tunnel. */
export class ProxyError extends Error {
  readonly code = 'ERR_PROXY'
}

/** What a connection that took too long was waiting for. */
export type DialStep = 'name' | 'connection' | 'handshake'

const TIMEOUT_CODES = {
  name: 'ERR_NAME_TIMEOUT',
  connection: 'ERR_CONNECT_TIMEOUT',
  handshake: 'ERR_TLS_TIMEOUT',
} as const

/** A connection took too long; its code says at which step. */
export class DialTimeoutError extends Error {
  readonly code: (typeof TIMEOUT_CODES)[DialStep]

  constructor(step: DialStep) {
    super(`There was no ${step} within ${limits.CONNECT_MS_MAX} ms.`)
    this.code = TIMEOUT_CODES[step]
  }
}

/** The other end closed the connection before the reply was there in full. */
export class ConnectionEndedError extends Error {
  readonly code = 'ERR_CONNECTION_ENDED'

  constructor() {
    super('The other end closed the connection.')
  }
}

/** The connections were given up by this end. */
export class ClientClosedError extends Error {
  readonly code = 'ERR_CLIENT_CLOSED'

  constructor() {
    super('The agent client was closed.')
  }
}

/** What came is not the HTTP/1.1 that was asked for. */
export class MalformedReplyError extends Error {
  readonly code = 'ERR_MALFORMED_REPLY'

  constructor(what: string) {
    super(`The reply is malformed: ${what}.`)
  }
}

/** A head or its trailers are larger than `RESPONSE_HEADER_BYTES_MAX`, or have far too many lines. */
export class HeadTooLargeError extends Error {
  readonly code = 'ERR_HEAD_TOO_LARGE'

  constructor() {
    super('The head of the reply is too large.')
  }
}

/** A connection brought too many bytes and nothing in them. */
export class RawBytesError extends Error {
  readonly code = 'ERR_RAW_BYTES'

  constructor() {
    super(`More than ${limits.RAW_BYTES_WITHOUT_FRAME_MAX} bytes came and nothing in them.`)
  }
}
