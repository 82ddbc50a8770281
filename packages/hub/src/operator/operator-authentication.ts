/** Finds out who asks: by the application's own authentication if it has one, and by the hub's tokens. */
import type { IncomingMessage } from 'node:http'
import { limits, OPERATOR_SCOPES, type Clock } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import { callHook } from '../http/application-hook.ts'
import type { Logger } from '../logger.ts'
import type { AuthenticOperator, Operator, OperatorTokens } from './operator-tokens.ts'

/** The application's own authentication; see `HubOptions.authenticateOperator`. */
export type AuthenticateOperator = (request: Request) => Promise<Operator | undefined>

/** What finding out needs. */
export interface OperatorAuthenticationOptions {
  readonly operatorTokens: OperatorTokens
  readonly clock: Clock
  readonly logger: Logger
  readonly basePath: string
  readonly authenticateOperator: AuthenticateOperator | undefined
}

/** Who has sent a request. @throws HubError `unauthorized`, `authentication_unavailable`, `too_many_waiters`. */
export type OperatorAuthentication = (request: IncomingMessage) => Promise<AuthenticOperator>

/** Whom the application knows is not looked for among the tokens; whom it does not know may have one. */
export function createOperatorAuthentication(options: OperatorAuthenticationOptions): OperatorAuthentication {
  const { operatorTokens, clock, logger, basePath, authenticateOperator: ask } = options
  let asking = 0

  async function askApplication(
    request: IncomingMessage,
    authenticate: AuthenticateOperator,
  ): Promise<AuthenticOperator | undefined> {
    if (asking >= limits.OWN_AUTHENTICATIONS_MAX) {
      throw new HubError(
        'too_many_waiters',
        `${limits.OWN_AUTHENTICATIONS_MAX} requests already wait to be authenticated. Try again shortly.`,
      )
    }
    asking += 1
    try {
      const operator = await callHook(clock, limits.OWN_AUTHENTICATION_MS_MAX, (signal) =>
        authenticate(webRequestOf(request, basePath, signal)),
      )
      return operator === undefined ? undefined : authenticOperator(operator)
    } catch (error) {
      logger.error({ error }, 'authenticateOperator failed; whoever asked was refused until it answers again')
      throw new HubError(
        'authentication_unavailable',
        'Who sent this could not be found out, so nothing was done. Try again shortly.',
        { cause: error },
      )
    } finally {
      asking -= 1
    }
  }

  return async (request) => {
    const own = ask === undefined ? undefined : await askApplication(request, ask)
    return own ?? operatorTokens.authenticate(request.headers.authorization)
  }
}

/** @throws TypeError for what is no operator: a mistake in the application must not let anybody in. */
function authenticOperator({ name, scopes }: Operator): AuthenticOperator {
  const allowed: ReadonlySet<unknown> = new Set(OPERATOR_SCOPES)
  if (typeof name !== 'string' || name.length === 0 || name.length > limits.OPERATOR_NAME_CHARS_MAX) {
    throw new TypeError(`It gave a name that has not 1 to ${limits.OPERATOR_NAME_CHARS_MAX} characters.`)
  }
  if (!Array.isArray(scopes) || !scopes.every((scope) => allowed.has(scope))) {
    throw new TypeError(`It gave scopes of which not all are one of ${OPERATOR_SCOPES.join(', ')}.`)
  }
  // No token's id has a colon.
  return { tokenId: `own:${name}`, name, scopes }
}

/** The request as it reached the hub, without its body. */
function webRequestOf(request: IncomingMessage, basePath: string, signal: AbortSignal): Request {
  const { method = 'GET', url = '/', rawHeaders } = request
  const headers = new Headers()
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    headers.append(rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '')
  }
  return new Request(`http://${request.headers.host ?? 'localhost'}${basePath}${url}`, {
    method,
    headers,
    signal,
  })
}
