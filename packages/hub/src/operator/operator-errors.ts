/** Maps what goes wrong inside Fastify to the one table of error codes. */
import { limits } from '@downlink/protocol'
import type { FastifyError, FastifyInstance, FastifyReply, HTTPMethods } from 'fastify'
import { errorBody, errorHeaders, HubError, hubErrorOf } from '../hub-error.ts'
import { factsOf } from '../http/request-facts.ts'
import type { RateLimits } from '../http/rate-limits.ts'
import type { Logger } from '../logger.ts'

const METHODS = [
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
] as const satisfies readonly HTTPMethods[]

/** Answers every error as `{error, message, details?}`, an unknown path included. Call it before any route. */
export function setErrorReplies(
  app: FastifyInstance,
  { logger, rates }: { readonly logger: Logger; readonly rates: RateLimits },
): void {
  app.setErrorHandler<FastifyError>(async (error, request, reply) => {
    const hubError = rates.countFailure(mappedError(error), request.raw.socket.remoteAddress)
    if (hubError.status >= 500)
      logger.warn({ error, path: request.routeOptions.url }, 'A request of an operator failed')
    factsOf(reply.raw).code = hubError.code
    void reply.headers(errorHeaders(hubError))
    // What is left of a refused body is not worth reading.
    if (!request.raw.complete) void reply.header('Connection', 'close')
    return reply.code(hubError.status).send(errorBody(hubError))
  })
  app.setNotFoundHandler(async () => {
    throw new HubError('not_found', 'There is nothing at this path. The operator API is below /api/v1.')
  })
}

/** Answers what Fastify refuses before it has found a route: a path that cannot be read. */
export function replyFrameworkError(error: FastifyError, _request: unknown, reply: FastifyReply): void {
  const hubError = mappedError(error)
  factsOf(reply.raw).code = hubError.code
  void reply.code(hubError.status).send(errorBody(hubError))
}

/** Collects the routes that are added from now on, and returns what then answers their other methods with 405. */
export function collectMethods(app: FastifyInstance): () => void {
  const methods = new Map<string, Set<string>>()
  app.addHook('onRoute', (route) => {
    const known = methods.get(route.url) ?? new Set()
    for (const method of [route.method].flat()) known.add(method)
    methods.set(route.url, known)
  })
  return () => {
    for (const [url, known] of methods) {
      const allowed = [...known].join(', ')
      app.route({
        url,
        method: METHODS.filter((method) => !known.has(method)),
        handler: async (_request, reply) => {
          void reply.header('Allow', allowed)
          throw new HubError('method_not_allowed', `This path does not take the method. Use ${allowed}.`)
        },
      })
    }
  }
}

function mappedError(error: FastifyError): HubError {
  if (error.validation !== undefined) {
    return new HubError('bad_request', `${error.message}. Correct the request.`, {
      details: error.validation.map(({ instancePath, message }) => ({
        path: instancePath,
        message: message ?? '',
      })),
      cause: error,
    })
  }
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new HubError(
        'body_too_large',
        `The body is larger than ${limits.OPERATOR_BODY_BYTES_MAX} bytes. Send less at a time.`,
        { cause: error },
      )
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new HubError(
        'unsupported_media_type',
        'The body is of another type than JSON. Send it as application/json, not compressed.',
        { cause: error },
      )
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new HubError(
        'bad_request',
        'The body is not as long as its Content-Length says. Send it again.',
        {
          cause: error,
        },
      )
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new HubError('not_found', 'The path names something by an id that is too long. Check it.', {
        cause: error,
      })
    case 'FST_ERR_BAD_URL':
    case 'FST_ERR_ASYNC_CONSTRAINT':
      return new HubError('bad_request', 'The path of the request cannot be read. Correct it.', {
        cause: error,
      })
    default:
      return hubErrorOf(error)
  }
}
