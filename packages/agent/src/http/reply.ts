/** Sends one request by undici and returns its reply as soon as its headers are here; the body is read in our own memory. */
import type { Dispatcher } from 'undici'
import { errors } from './undici-parts.ts'
import { ReplyBody } from './reply-body.ts'
import type { ReplyHeaders } from './http-failure.ts'

/** A reply whose headers have come. */
export interface Reply {
  readonly statusCode: number
  readonly headers: ReplyHeaders
  readonly body: ReplyBody
}

/** What is asked. */
export interface ReplyRequest {
  readonly method: Dispatcher.HttpMethod
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

/** Requests over the sockets of `dispatcher`. */
export function requesterBy(dispatcher: Dispatcher): Requester {
  return { request: (request) => requestReply(dispatcher, request) }
}

function requestReply(dispatcher: Dispatcher, request: ReplyRequest): Promise<Reply> {
  const { signal, onInterim, ...asked } = request
  const { promise, resolve, reject } = Promise.withResolvers<Reply>()
  let controller: Dispatcher.DispatchController | undefined
  let body: ReplyBody | undefined
  const abort = (reason: Error): void => {
    if (controller?.aborted === false) controller.abort(reason)
  }
  const onAbort = (): void => abort(signal.reason as Error)
  const over = (): void => signal.removeEventListener('abort', onAbort)
  signal.throwIfAborted()
  signal.addEventListener('abort', onAbort, { once: true })
  dispatcher.dispatch(
    { ...asked, headers: { ...asked.headers } },
    {
      onRequestStart(started) {
        controller = started
        if (signal.aborted) onAbort()
      },
      onResponseStart(started, statusCode, headers) {
        if (statusCode < 200) {
          onInterim()
          return
        }
        body = new ReplyBody({
          pause: () => started.pause(),
          resume: () => started.resume(),
          abort: () => abort(new errors.RequestAbortedError()),
        })
        resolve({ statusCode, headers, body })
      },
      onResponseData: (_, chunk) => body?.push(chunk),
      onResponseEnd() {
        over()
        body?.finish({})
      },
      onResponseError(_, error) {
        over()
        body?.finish({ error })
        reject(error)
      },
    },
  )
  return promise
}
