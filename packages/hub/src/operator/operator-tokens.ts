/** The operators' bearer tokens: hashed, named, with scopes. */
import { limits, parseToken, systemClock, type Clock } from '@downlink/protocol'
import { bearerToken, isSecret, mintToken } from '../enrollment/secrets.ts'
import { HubError } from '../hub-error.ts'
import type { Store } from '../store/store.ts'

/** What a token allows: looking, sending controls, starting tasks, everything. */
export const OPERATOR_SCOPES = ['read', 'control', 'run', 'admin'] as const
/** One of {@link OPERATOR_SCOPES}. `admin` includes the others. */
export type OperatorScope = (typeof OPERATOR_SCOPES)[number]

/** Who is asking. */
export interface Operator {
  readonly name: string
  readonly scopes: readonly OperatorScope[]
}

interface OperatorTokenDocument extends Operator {
  readonly tokenId: string
  /** SHA-256 of the secret, hex. */
  readonly hash: string
  readonly createdMs: number
}

/**
 * Makes a token for the operator API. The token is in the result and nowhere else; the store keeps its hash.
 * @throws TypeError for a name or scope that is not allowed, StoreError if the store fails.
 */
export async function createOperatorToken(
  store: Store,
  operator: Operator,
  clock: Clock = systemClock,
): Promise<{ readonly tokenId: string; readonly token: string }> {
  const { name, scopes } = operator
  if (name.length === 0 || name.length > limits.OPERATOR_NAME_CHARS_MAX) {
    throw new TypeError(`The name must have 1 to ${limits.OPERATOR_NAME_CHARS_MAX} characters.`)
  }
  if (scopes.length === 0 || scopes.some((scope) => !OPERATOR_SCOPES.includes(scope))) {
    throw new TypeError(`The scopes must be some of ${OPERATOR_SCOPES.join(', ')}.`)
  }
  const minted = mintToken('operator', '')
  const document: OperatorTokenDocument = {
    tokenId: minted.keyId,
    hash: minted.hash,
    name,
    scopes,
    createdMs: clock.wallMs(),
  }
  await store.update('operator-tokens', document.tokenId, () => ({ document, result: undefined }))
  return { tokenId: document.tokenId, token: minted.token }
}

/** An operator whose token is right. */
export interface AuthenticOperator extends Operator {
  readonly tokenId: string
}

/** The operator that an `Authorization` header names. @throws HubError `unauthorized`. */
export async function authenticateOperator(
  store: Store,
  authorization: string | undefined,
): Promise<AuthenticOperator> {
  const token = bearerToken(authorization)
  const parts = token === undefined ? undefined : parseToken('operator', token)
  const document = parts && (await store.read<OperatorTokenDocument>('operator-tokens', parts.keyId))
  const isRight = isSecret(parts?.secret ?? '', document?.hash)
  if (document === undefined || !isRight) {
    throw new HubError(
      'unauthorized',
      'No valid operator token was sent. Send one as "Authorization: Bearer …".',
    )
  }
  return { tokenId: document.tokenId, name: document.name, scopes: document.scopes }
}

/** @throws HubError `forbidden`. */
export function assertScope(operator: Operator, scope: OperatorScope): void {
  if (operator.scopes.includes(scope) || operator.scopes.includes('admin')) return
  throw new HubError(
    'forbidden',
    `This token lacks the scope "${scope}". Use one that has it, or has "admin".`,
  )
}
