/** Makes and checks the secrets of tokens; only their hashes are ever stored. */
import { createHash, hash as hashAtOnce, randomBytes, timingSafeEqual } from 'node:crypto'
import { formatToken, type TokenKind } from '@downlink/protocol'

const SECRET_BYTES = 32
const KEY_ID_BYTES = 9

/** A fresh token. `token` is shown once; `hash` is what is kept. */
export interface MintedToken {
  readonly token: string
  readonly keyId: string
  readonly hash: string
}

/**
 * Makes a token of 256 random bits.
 * @param owner - the agent's id for an agent's key, empty otherwise.
 * @param keyId - base64url. @defaultValue a random one
 */
export function mintToken(
  kind: TokenKind,
  owner: string,
  keyId: string = randomBytes(KEY_ID_BYTES).toString('base64url'),
): MintedToken {
  const secret = randomBytes(SECRET_BYTES).toString('base64url')
  return { token: formatToken({ kind, owner, keyId, secret }), keyId, hash: hashOf(secret) }
}

/** The id of a key that `operator` asks for under an `Idempotency-Key`: asking again finds what was made. */
export function keyIdUnder(operator: string, idempotencyKey: string): string {
  return createHash('sha256').update(`${operator}\n${idempotencyKey}`).digest('base64url')
}

/** Of no secret: what one of an unknown key is compared with. */
const NO_HASH = '0'.repeat(64)

/**
 * Whether `secret` is the one with this hash, in a time that tells neither how much of it is right nor, when there is
 * no hash because the key is not known, that.
 */
export function isSecret(secret: string, hash: string | undefined): boolean {
  const isEqual = timingSafeEqual(Buffer.from(hashOf(secret)), Buffer.from(hash ?? NO_HASH))
  return isEqual && hash !== undefined
}

// The secrets have 256 random bits, so a fast hash gives nothing away; a slow one would only slow every request.
function hashOf(secret: string): string {
  return hashAtOnce('sha256', secret)
}

/** The token of an `Authorization: Bearer` header, or undefined. */
export function bearerToken(header: string | undefined): string | undefined {
  return /^bearer ([!-~]{1,1024})$/i.exec(header ?? '')?.[1]
}
