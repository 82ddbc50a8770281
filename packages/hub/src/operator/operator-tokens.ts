/** The operators' bearer tokens: hashed, named, with scopes; made, listed, ended, and seen to be used. */
import {
  limits,
  OPERATOR_SCOPES,
  parseToken,
  systemClock,
  type Clock,
  type OperatorScope,
} from '@downlink/protocol'
import { idempotencyOf, type Asker } from '../controls/control-request.ts'
import { bearerToken, isSecret, keyIdUnder, mintToken } from '../enrollment/secrets.ts'
import { HubError } from '../hub-error.ts'
import type { Logger } from '../logger.ts'
import type { HistoryEntry, PageRequest, Store } from '../store/store.ts'

/** Who is asking. */
export interface Operator {
  readonly name: string
  readonly scopes: readonly OperatorScope[]
}

/** A token to make. */
export interface NewOperatorToken extends Operator {
  /** How long it is good for while a hub serves, ms. @defaultValue for ever */
  readonly ttlMs?: number
}

/** A token as it is stored. */
export interface OperatorTokenDocument extends Operator {
  readonly tokenId: string
  /** SHA-256 of the secret, hex. */
  readonly hash: string
  readonly createdMs: number
  /** Whose token made it; `hub` for the program that the hub is part of. */
  readonly createdBy?: string
  /** By the hub's wall clock, for people to read. */
  readonly expiresMs?: number
  /** On the store's service time, which is what counts. */
  readonly expiresAtServiceMs?: number
  readonly revoked?: { readonly atMs: number; readonly by: string }
  /** By the hub's wall clock, to the hour; kept at most once in `TOKEN_USE_RECORD_MS`. */
  readonly lastUsedMs?: number
  /** Of the request that made it under an `Idempotency-Key`, which its id then is made of. */
  readonly bodyHash?: string
}

/** An operator whose token is right. */
export interface AuthenticOperator extends Operator {
  readonly tokenId: string
  /** On the store's service time; absent for a token that does not expire. */
  readonly expiresAtServiceMs?: number
}

/** A token that was made, and its text. */
export interface CreatedOperatorToken {
  readonly token: string
  readonly document: OperatorTokenDocument
  /** It had been made before, under the same `Idempotency-Key`. */
  readonly isReplay: boolean
}

/** The operators' tokens of one store. */
export interface OperatorTokens {
  /**
   * The operator that an `Authorization` header names.
   * @throws HubError `unauthorized`; only to one who has the secret does it say that the token is over.
   */
  authenticate(authorization: string | undefined): Promise<AuthenticOperator>
  /**
   * Makes a token; its text is in the result, and nowhere else. Asked again under the same `Idempotency-Key`, it makes no
   * second one but gives the first a new text, which voids the one that was lost.
   * @throws HubError `bad_idempotency_key`; `idempotency_conflict` if something else was asked under it, or if the token
   * that it made has been used or revoked since.
   */
  create(request: NewOperatorToken, asker: Asker): Promise<CreatedOperatorToken>
  list(page: PageRequest<string>): Promise<readonly OperatorTokenDocument[]>
  /** Nothing is let in with it any more once this resolves; false if there is no such token. */
  revoke(tokenId: string, by: string): Promise<boolean>
}

/** Reads and changes the operators' tokens of `store`. */
export function createOperatorTokens(store: Store, clock: Clock, logger: Logger): OperatorTokens {
  /** When the use of each token was last put on record. As many as there are tokens: only one that is right is. */
  const recordedMs = new Map<string, number>()

  function recordUse({ tokenId, lastUsedMs = -Infinity }: OperatorTokenDocument): void {
    const wallMs = clock.wallMs()
    const lastMs = Math.max(lastUsedMs, recordedMs.get(tokenId) ?? -Infinity)
    // A clock that went back must not stop it for good.
    if (Math.abs(wallMs - lastMs) < limits.TOKEN_USE_RECORD_MS) return
    recordedMs.set(tokenId, wallMs)
    const usedMs = wallMs - (wallMs % limits.TOKEN_USE_RECORD_MS)
    const recorded = store.update<OperatorTokenDocument, void>('operator-tokens', tokenId, (before) =>
      before === undefined || before.lastUsedMs === usedMs
        ? { result: undefined }
        : { document: { ...before, lastUsedMs: usedMs }, result: undefined },
    )
    // Nobody waits for it; a store that fails says so to whoever does.
    recorded.catch((error: unknown) => logger.debug({ error }, 'The use of a token was not recorded'))
  }

  return {
    async authenticate(authorization) {
      const token = bearerToken(authorization)
      const parts = token === undefined ? undefined : parseToken('operator', token)
      const document =
        parts && (await store.read<OperatorTokenDocument>('operator-tokens', parts.keyId, 'again'))
      const isRight = isSecret(parts?.secret ?? '', document?.hash)
      if (document === undefined || !isRight) {
        throw new HubError(
          'unauthorized',
          'No valid operator token was sent. Send one as "Authorization: Bearer …".',
        )
      }
      const state = tokenState(document, store.serviceMs())
      if (state !== 'usable') {
        const what = state === 'revoked' ? 'was revoked' : 'has expired'
        throw new HubError('unauthorized', `This operator token ${what}. Ask for a new one.`)
      }
      recordUse(document)
      const { tokenId, name, scopes, expiresAtServiceMs } = document
      return { tokenId, name, scopes, ...(expiresAtServiceMs === undefined ? {} : { expiresAtServiceMs }) }
    },
    create: (request, asker) => createToken(store, clock, request, asker),
    async list(page) {
      return (await store.list<OperatorTokenDocument>('operator-tokens', page)).map(
        ({ document }) => document,
      )
    },
    revoke(tokenId, by) {
      const atMs = clock.wallMs()
      return store.update<OperatorTokenDocument, boolean>('operator-tokens', tokenId, (before) => {
        if (before === undefined) return { result: false }
        if (before.revoked !== undefined) return { result: true }
        const document = { ...before, revoked: { atMs, by } }
        return { document, history: [tokenHistory('operator_token.revoked', before, atMs, by)], result: true }
      })
    },
  }
}

/**
 * Makes a token for the operator API, in the program that the hub is part of. The token is in the result and nowhere else;
 * the store keeps its hash.
 * @throws TypeError for a name, scope or life that is not allowed, StoreError if the store fails.
 */
export async function createOperatorToken(
  store: Store,
  operator: NewOperatorToken,
  clock: Clock = systemClock,
): Promise<{ readonly tokenId: string; readonly token: string }> {
  const { name, scopes, ttlMs = 1 } = operator
  if (name.length === 0 || name.length > limits.OPERATOR_NAME_CHARS_MAX) {
    throw new TypeError(`The name must have 1 to ${limits.OPERATOR_NAME_CHARS_MAX} characters.`)
  }
  if (scopes.length === 0 || scopes.some((scope) => !OPERATOR_SCOPES.includes(scope))) {
    throw new TypeError(`The scopes must be some of ${OPERATOR_SCOPES.join(', ')}.`)
  }
  if (!(Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= limits.OPERATOR_TOKEN_TTL_MS_MAX)) {
    throw new TypeError(`ttlMs must be an integer from 1 to ${limits.OPERATOR_TOKEN_TTL_MS_MAX}.`)
  }
  const { token, document } = await createToken(store, clock, operator, { operator: BY_HUB })
  return { tokenId: document.tokenId, token }
}

/** @throws HubError `forbidden`. */
export function assertScope(operator: Operator, scope: OperatorScope): void {
  if (operator.scopes.includes(scope) || operator.scopes.includes('admin')) return
  throw new HubError(
    'forbidden',
    `This token lacks the scope "${scope}". Use one that has it, or has "admin".`,
  )
}

/** Whether a token lets anybody in. */
export function tokenState(
  { revoked, expiresAtServiceMs = Infinity }: OperatorTokenDocument,
  serviceMs: number,
): 'usable' | 'expired' | 'revoked' {
  if (revoked !== undefined) return 'revoked'
  return expiresAtServiceMs <= serviceMs ? 'expired' : 'usable'
}

/** Who makes a token without having one. */
const BY_HUB = 'hub'

async function createToken(
  store: Store,
  clock: Clock,
  request: NewOperatorToken,
  { operator, idempotencyKey }: Asker,
): Promise<CreatedOperatorToken> {
  const { name, scopes, ttlMs } = request
  const { idempotency } = idempotencyOf('operator-token', request, idempotencyKey)
  const minted = mintToken('operator', '', idempotency && keyIdUnder(operator, idempotency.key))
  const createdMs = clock.wallMs()
  const fresh: OperatorTokenDocument = {
    tokenId: minted.keyId,
    hash: minted.hash,
    name,
    scopes: OPERATOR_SCOPES.filter((scope) => scopes.includes(scope)),
    createdMs,
    createdBy: operator,
    ...(ttlMs === undefined
      ? {}
      : { expiresMs: createdMs + ttlMs, expiresAtServiceMs: store.serviceMs() + ttlMs }),
    ...(idempotency === undefined ? {} : { bodyHash: idempotency.bodyHash }),
  }
  const history = [tokenHistory('operator_token.created', fresh, createdMs, operator)]
  const made = await store.update<OperatorTokenDocument, OperatorTokenDocument | undefined>(
    'operator-tokens',
    fresh.tokenId,
    (before) => {
      if (before === undefined) return { document: fresh, history, result: fresh }
      if (
        before.bodyHash !== fresh.bodyHash ||
        before.lastUsedMs !== undefined ||
        before.revoked !== undefined
      )
        return { result: undefined }
      const document = { ...before, hash: fresh.hash }
      return { document, history, result: document }
    },
  )
  if (made === undefined) throw new HubError('idempotency_conflict', CONFLICT)
  return { token: minted.token, document: made, isReplay: made !== fresh }
}

const CONFLICT =
  'Under this Idempotency-Key another token was asked for, or the one that it made was used or revoked since. Use a new key for a new request.'

function tokenHistory(
  kind: string,
  { tokenId, name, scopes }: OperatorTokenDocument,
  atMs: number,
  by: string,
): HistoryEntry {
  return { atMs, kind, data: { tokenId, name, scopes: [...scopes], by } }
}
