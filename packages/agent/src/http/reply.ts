/** One request and its reply, as whatever carries them shows them. */
import type { ReplyHeaders } from './http-failure.ts'
import type { ReplyBody } from './reply-body.ts'

/** A reply whose headers have come. */
export interface Reply {
  readonly statusCode: number
  readonly headers: ReplyHeaders
  readonly body: ReplyBody
}

/** What may be asked. */
export type Method = 'GET' | 'POST'

/** What is asked. */
export interface ReplyRequest {
  readonly method: Method
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** Ends the request, and the body of its reply. */
  readonly signal: AbortSignal
  /** Called for every interim (1xx) reply; what it throws ends the request. */
  readonly onInterim: () => void
}

/** Sends requests to one origin. */
export interface Requester {
  /** @throws what is said of a connection that failed, what `onInterim` throws, and the signal's reason. */
  request(request: ReplyRequest): Promise<Reply>
}
