/** The keys of one agent: which is valid, which follows it, which was replaced. Pure. */
import { limits } from '@downlink/protocol'

/** A key of an agent. */
export interface AgentKey {
  readonly keyId: string
  /** SHA-256 of the secret, hex. */
  readonly hash: string
  /** `pending`: issued, not used yet, while the one before it is still valid. */
  readonly state: 'current' | 'pending' | 'retired'
  readonly createdMs: number
  /** The exchange that made it, so that a repeated one can take its place. */
  readonly exchange?: string
}

/** A key that was just made. */
export type NewKey = Omit<AgentKey, 'state'>

/** The keys after an enrollment: the new one alone is valid, and takes the place of one that the same exchange made. */
export function keysEnrolled(keys: readonly AgentKey[], made: NewKey): readonly AgentKey[] {
  const { exchange } = made
  const earlier = keys.filter((key) => exchange === undefined || key.exchange !== exchange)
  return bounded([...earlier.map(retired), { ...made, state: 'current' }])
}

/**
 * The keys after a successor was issued: those before it stay valid, pending ones too. The reply with a pending key may
 * have been lost, or it may have been delivered and another, made for a repeat of the request, lost: nobody here can tell.
 */
export function keysIssued(keys: readonly AgentKey[], made: NewKey): readonly AgentKey[] {
  return bounded([...keys, { ...made, state: 'pending' }])
}

/** The keys after `keyId` was used: a pending one has been persisted then, so all others are retired. The very same if nothing changes. */
export function keysUsed(keys: readonly AgentKey[], keyId: string): readonly AgentKey[] {
  if (keys.find((key) => key.keyId === keyId)?.state !== 'pending') return keys
  return keys.map((key) => (key.keyId === keyId ? { ...key, state: 'current' } : retired(key)))
}

function retired(key: AgentKey): AgentKey {
  return key.state === 'retired' ? key : { ...key, state: 'retired' }
}

/** Retired keys go first, the oldest of them first, then pending ones; the current one and the newest stay. */
function bounded(keys: readonly AgentKey[]): readonly AgentKey[] {
  const kept = [...keys]
  while (kept.length > limits.AGENT_KEYS_MAX) {
    const oldestRetired = kept.findIndex((key) => key.state === 'retired')
    kept.splice(oldestRetired === -1 ? kept.findIndex((key) => key.state === 'pending') : oldestRetired, 1)
  }
  return kept
}
