/** Keys that enroll agents: how often, until when, with which labels; and which exchanges may be repeated. */
import { limits, parseToken, type Clock, type ErrorCode } from '@downlink/protocol'
import { idempotencyOf, type Asker } from '../controls/control-request.ts'
import { HubError } from '../hub-error.ts'
import type { HistoryEntry, PageRequest, Store } from '../store/store.ts'
import { agentExists, mayEnroll, type Agents } from './agents.ts'
import { isSecret, keyIdUnder, mintToken } from './secrets.ts'

/** An enrollment key as it is stored. */
export interface EnrollmentKeyDocument {
  readonly id: string
  /** SHA-256 of the secret, hex. */
  readonly hash: string
  readonly usesMax: number
  readonly usesCount: number
  readonly labels: Readonly<Record<string, string>>
  /** The only agent that it may enroll, which may then exist already. */
  readonly agentId?: string
  readonly createdMs: number
  readonly createdBy: string
  /** By the hub's wall clock, for people to read. */
  readonly expiresMs: number
  /** On the store's service time, which is what counts. */
  readonly expiresAtServiceMs: number
  readonly revoked?: true
  /** Of the request that made it under an `Idempotency-Key`, which its id then is made of. */
  readonly bodyHash?: string
  /** The last uses, so that an exchange whose reply was lost can be repeated. */
  readonly recent: readonly EnrollmentUse[]
}

/** One use of a key. */
export interface EnrollmentUse {
  readonly agentId: string
  readonly exchangeId: string
  readonly atServiceMs: number
}

/** A key to make. */
export interface NewEnrollmentKey {
  readonly uses?: number
  readonly ttlMs?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly agentId?: string
}

/** A key that was made, and its text. */
export interface CreatedEnrollmentKey {
  readonly key: string
  readonly document: EnrollmentKeyDocument
  /** It had been made before, under the same `Idempotency-Key`. */
  readonly isReplay: boolean
}

/** What an agent sends to get its credential. */
export interface ExchangeRequest {
  readonly authKey: string
  readonly agentId: string
  readonly hostname?: string
  readonly platform?: string
  readonly exchangeId?: string
}

/** The enrollment keys of one store. */
export interface EnrollmentKeys {
  /**
   * Makes a key; its text is in the result, and nowhere else. Asked again under the same `Idempotency-Key`, it makes no
   * second one but gives the first a new text, which voids the one that was lost.
   * @throws HubError `bad_idempotency_key`; `idempotency_conflict` if something else was asked under it, or if the key
   * that it made has been used or revoked since.
   */
  create(request: NewEnrollmentKey, asker: Asker): Promise<CreatedEnrollmentKey>
  list(page: PageRequest<string>): Promise<readonly EnrollmentKeyDocument[]>
  /** False if there is no such key. */
  revoke(id: string, by: string): Promise<boolean>
  /** Trades a key for an agent's credential. @throws HubError `invalid`, `expired`, `used`, `revoked`, `agent_exists`, `agent_mismatch`. */
  exchange(request: ExchangeRequest): Promise<{ readonly apiKey: string }>
}

type Refusal = Extract<ErrorCode, 'invalid' | 'expired' | 'used' | 'revoked' | 'agent_mismatch'>

const REFUSALS: Record<Refusal, string> = {
  invalid:
    'This enrollment key is not known here. Check that it was copied whole, and that the hub is the right one.',
  expired: 'This enrollment key has expired. Ask for a new one.',
  used: 'This enrollment key was used as often as it may be. Ask for a new one.',
  revoked: 'This enrollment key was revoked. Ask for a new one.',
  agent_mismatch: 'This enrollment key was made for another agent id. Ask for one for this agent.',
}

/** Reads and changes the enrollment keys of `store`. */
export function createEnrollmentKeys(store: Store, clock: Clock, agents: Agents): EnrollmentKeys {
  const keyHistory = (kind: string, keyId: string, by: string): HistoryEntry => ({
    atMs: clock.wallMs(),
    kind,
    data: { keyId, by },
  })
  return {
    async create(request, { operator, idempotencyKey }) {
      const { idempotency } = idempotencyOf('enrollment-key', request, idempotencyKey)
      const minted = mintToken('enrollment', '', idempotency && keyIdUnder(operator, idempotency.key))
      const ttlMs = request.ttlMs ?? limits.ENROLLMENT_TTL_MS_DEFAULT
      const fresh: EnrollmentKeyDocument = {
        id: minted.keyId,
        hash: minted.hash,
        usesMax: request.uses ?? 1,
        usesCount: 0,
        labels: request.labels ?? {},
        ...(request.agentId === undefined ? {} : { agentId: request.agentId }),
        createdMs: clock.wallMs(),
        createdBy: operator,
        expiresMs: clock.wallMs() + ttlMs,
        expiresAtServiceMs: store.serviceMs() + ttlMs,
        ...(idempotency === undefined ? {} : { bodyHash: idempotency.bodyHash }),
        recent: [],
      }
      const history = [keyHistory('enrollment_key.created', fresh.id, operator)]
      const made = await store.update<EnrollmentKeyDocument, EnrollmentKeyDocument | undefined>(
        'enrollment-keys',
        fresh.id,
        (before) => {
          if (before === undefined) return { document: fresh, history, result: fresh }
          if (before.bodyHash !== fresh.bodyHash || before.usesCount > 0 || before.revoked === true) {
            return { result: undefined }
          }
          const document = { ...before, hash: fresh.hash }
          return { document, history, result: document }
        },
      )
      if (made === undefined) throw new HubError('idempotency_conflict', CONFLICT)
      return { key: minted.token, document: made, isReplay: made !== fresh }
    },
    async list(page) {
      const found = await store.list<EnrollmentKeyDocument>('enrollment-keys', page)
      return found.map(({ document }) => document)
    },
    revoke: (id, by) =>
      store.update<EnrollmentKeyDocument, boolean>('enrollment-keys', id, (before) => {
        if (before === undefined) return { result: false }
        if (before.revoked) return { result: true }
        const history = [keyHistory('enrollment_key.revoked', id, by)]
        return { document: { ...before, revoked: true }, history, result: true }
      }),
    async exchange(request) {
      const parts = parseToken('enrollment', request.authKey)
      if (parts === undefined) throw new HubError('invalid', REFUSALS.invalid)
      const { agentId, exchangeId, hostname, platform } = request
      const exchange = exchangeId === undefined ? {} : { exchange: `${parts.keyId}:${exchangeId}` }
      const serviceMs = store.serviceMs()
      const consume = (key: EnrollmentKeyDocument | undefined): Consumed =>
        isSecret(parts.secret, key?.hash) && key !== undefined ? consumed(key, request, serviceMs) : 'invalid'

      // Asked first, so that a refusal for the agent's sake does not burn a use.
      const before = await store.read<EnrollmentKeyDocument>('enrollment-keys', parts.keyId)
      const allowed = consume(before)
      if (typeof allowed === 'string') throw new HubError(allowed, REFUSALS[allowed])
      const mayReplace = allowed.agentId !== undefined
      const terms = { ...exchange, mayReplace, isRepeat: allowed === before }
      if (!mayEnroll(await agents.read(agentId), terms)) throw agentExists(agentId)

      // Two documents, so two commits: the use first. A crash in between is repaired by repeating the exchange.
      const { used, isRepeat } = await store.update<
        EnrollmentKeyDocument,
        { used: Consumed; isRepeat: boolean }
      >('enrollment-keys', parts.keyId, (key) => {
        const now = consume(key)
        const result = { used: now, isRepeat: now === key }
        return typeof now === 'string' || now === key ? { result } : { document: now, result }
      })
      if (typeof used === 'string') throw new HubError(used, REFUSALS[used])
      const minted = await agents.mint({
        agentId,
        labels: used.labels,
        ...(hostname === undefined ? {} : { hostname }),
        ...(platform === undefined ? {} : { platform }),
        enrollmentKeyId: parts.keyId,
        ...exchange,
        mayReplace,
        isRepeat,
      })
      return { apiKey: minted.token }
    },
  }
}

const CONFLICT =
  'Under this Idempotency-Key another enrollment key was asked for, or the one that it made was used or revoked since. Use a new key for a new request.'

type Consumed = EnrollmentKeyDocument | Refusal

/** The key after this use; the very same if the use is a repeated one. */
function consumed(key: EnrollmentKeyDocument, request: ExchangeRequest, serviceMs: number): Consumed {
  const { agentId, exchangeId } = request
  if (key.revoked) return 'revoked'
  const isRepeat = key.recent.some(
    (use) =>
      use.agentId === agentId &&
      use.exchangeId === exchangeId &&
      serviceMs - use.atServiceMs <= limits.ENROLLMENT_REPEAT_MS,
  )
  if (isRepeat) return key
  if (key.expiresAtServiceMs <= serviceMs) return 'expired'
  if (key.usesCount >= key.usesMax) return 'used'
  if (key.agentId !== undefined && key.agentId !== agentId) return 'agent_mismatch'
  const use = exchangeId === undefined ? [] : [{ agentId, exchangeId, atServiceMs: serviceMs }]
  return {
    ...key,
    usesCount: key.usesCount + 1,
    recent: [...key.recent, ...use].slice(-limits.ENROLLMENT_RECENT_MAX),
  }
}
