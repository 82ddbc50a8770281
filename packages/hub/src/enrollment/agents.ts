/** The agents that have a credential: who they are, which keys they hold, whether they were revoked. */
import { isDeepStrictEqual } from 'node:util'
import { parseToken, type Clock, type TokenParts } from '@downlink/protocol'
import type { AgentIdentity } from '../controls/agent-memory.ts'
import { HubError } from '../hub-error.ts'
import type { HistoryEntry, PageRequest, ReadUse, Store } from '../store/store.ts'
import { keysEnrolled, keysIssued, keysUsed, type AgentKey } from './agent-keys.ts'
import { isSecret, mintToken, type MintedToken } from './secrets.ts'

/** An agent as it is stored. */
export interface AgentDocument {
  readonly agentId: string
  readonly keys: readonly AgentKey[]
  readonly labels: Readonly<Record<string, string>>
  readonly hostname?: string
  readonly platform?: string
  /** What it said of itself last, so that a hub that starts anew finds it by its labels at once. */
  readonly identity?: AgentIdentity
  readonly createdMs: number
  /** A tombstone: the one reason to tell an agent that it was revoked. */
  readonly revoked?: { readonly atMs: number; readonly by: string }
  /** An operator wants another key in use; over once one is. */
  readonly rotation?: { readonly atMs: number; readonly by: string }
}

/** Who a bearer token is from. */
export interface AuthenticAgent {
  readonly agent: AgentDocument
  /** Of the key that was sent. */
  readonly keyId: string
  /** It was used for the first time just now, so that all others are retired, and what was opened with them must end. */
  readonly isFirstUse: boolean
}

/** A credential to make. */
export interface NewCredential {
  readonly agentId: string
  readonly labels: Readonly<Record<string, string>>
  readonly hostname?: string
  readonly platform?: string
  /** Of the enrollment key, for the audit trail. */
  readonly enrollmentKeyId?: string
  /** Names this exchange; a key made by the same one is replaced. */
  readonly exchange?: string
  /** The enrollment key names this agent, so an existing one may be enrolled anew. */
  readonly mayReplace: boolean
  /** The exchange was made before and consumed nothing now: it must not bring back an agent revoked since. */
  readonly isRepeat: boolean
}

/** The agents of one store. */
export interface Agents {
  read(agentId: string, use?: ReadUse): Promise<AgentDocument | undefined>
  list(page: PageRequest<string>): Promise<readonly AgentDocument[]>
  /**
   * The agent that a bearer token belongs to; a new key's first use is on disk then.
   * @throws HubError `unauthorized`, `key_retired`, or `agent_revoked` for a stored tombstone only.
   */
  authenticate(token: string | undefined): Promise<AuthenticAgent>
  /** Makes a key. @throws HubError `agent_exists`. */
  mint(credential: NewCredential): Promise<MintedToken>
  /** Wants the agent's key replaced; undefined if there is no such agent. @throws HubError `agent_revoked`. */
  askRotation(agentId: string, by: string): Promise<AgentDocument | undefined>
  /** Whether the agent should replace the key that it uses: somebody wants it, or the key is too old. */
  isRotationWanted(agent: AgentDocument, keyId: string): boolean
  /**
   * Makes the successor of the key with which it is asked for, which stays valid until this one is used.
   * @throws HubError `agent_revoked`, or `key_retired` if that key was replaced meanwhile.
   */
  issueKey(agentId: string, askedWith: string): Promise<MintedToken>
  /** Keeps what the agent says of itself, if that has changed. @throws StoreError if the store fails. */
  keepIdentity(agent: AgentDocument, identity: AgentIdentity): Promise<void>
  /** Revokes all keys in one commit; false if there is no such agent. */
  revoke(agentId: string, by: string): Promise<boolean>
}

/** Reads and changes the agents of `store`. @param keyAgeMsMax - how old a key may get before it is replaced, ms. */
export function createAgents(store: Store, clock: Clock, keyAgeMsMax: number = Infinity): Agents {
  return {
    read: (agentId, use) => store.read<AgentDocument>('agents', agentId, use),
    async list(page) {
      return (await store.list<AgentDocument>('agents', page)).map(({ document }) => document)
    },
    async authenticate(token) {
      const parts = token === undefined ? undefined : parseToken('agent', token)
      if (parts === undefined) throw unauthorized()
      const { keyId } = parts
      const agent = checkedAgent(await store.read<AgentDocument>('agents', parts.owner), parts)
      if (keysUsed(agent.keys, keyId) === agent.keys) return { agent, keyId, isFirstUse: false }
      const used = await store.update<AgentDocument, AgentDocument>('agents', parts.owner, (before) => {
        const valid = checkedAgent(before, parts)
        const document = withUsedKey(valid, keyId)
        if (document.keys === valid.keys) return { result: valid }
        const history = [keyHistory('agent.key_rotated', valid.agentId, keyId, clock)]
        return { document, history, result: document }
      })
      return { agent: used, keyId, isFirstUse: true }
    },
    async mint(credential) {
      const minted = mintToken('agent', credential.agentId)
      const createdMs = clock.wallMs()
      const isMinted = await store.update<AgentDocument, boolean>('agents', credential.agentId, (before) => {
        const document = withKey(before, credential, minted, createdMs)
        if (document === undefined) return { result: false }
        const { agentId, enrollmentKeyId } = credential
        const by = enrollmentKeyId === undefined ? {} : { enrollmentKeyId }
        const data = { keyId: minted.keyId, ...by }
        const history = [{ agentId, atMs: createdMs, kind: 'agent.enrolled', data }]
        return { document, history, result: true }
      })
      if (!isMinted) throw agentExists(credential.agentId)
      return minted
    },
    askRotation(agentId, by) {
      const atMs = clock.wallMs()
      return store.update<AgentDocument, AgentDocument | undefined>('agents', agentId, (before) => {
        if (before === undefined) return { result: undefined }
        assertNotRevoked(before)
        if (before.rotation !== undefined) return { result: before }
        const document = { ...before, rotation: { atMs, by } }
        const history = [{ agentId, atMs, kind: 'agent.rotation_asked', data: { by } }]
        return { document, history, result: document }
      })
    },
    isRotationWanted(agent, keyId) {
      const key = keyOf(agent, keyId)
      if (key?.state !== 'current') return false
      return agent.rotation !== undefined || clock.wallMs() - key.createdMs > keyAgeMsMax
    },
    async issueKey(agentId, askedWith) {
      const { token, keyId, hash } = mintToken('agent', agentId)
      const createdMs = clock.wallMs()
      await store.update<AgentDocument, void>('agents', agentId, (before) => {
        const refusal = standingRefusal(before, askedWith)
        if (refusal !== undefined || before === undefined) throw refusal ?? unauthorized()
        const document = { ...before, keys: keysIssued(before.keys, { keyId, hash, createdMs }) }
        const history = [keyHistory('agent.key_issued', agentId, keyId, clock)]
        return { document, history, result: undefined }
      })
      return { token, keyId, hash }
    },
    async keepIdentity({ agentId, identity: known }, identity) {
      if (isSameIdentity(known, identity)) return
      await store.update<AgentDocument, void>('agents', agentId, (before) =>
        before === undefined || before.revoked !== undefined || isSameIdentity(before.identity, identity)
          ? { result: undefined }
          : { document: { ...before, identity }, result: undefined },
      )
    },
    revoke(agentId, by) {
      const atMs = clock.wallMs()
      return store.update<AgentDocument, boolean>('agents', agentId, (before) => {
        if (before === undefined) return { result: false }
        if (before.revoked !== undefined) return { result: true }
        return {
          document: { ...before, revoked: { atMs, by } },
          history: [{ agentId, atMs, kind: 'agent.revoked', data: { by } }],
          result: true,
        }
      })
    },
  }
}

/** Whether an exchange may make a key for the agent, as far as its document says. */
export function mayEnroll(
  agent: AgentDocument | undefined,
  credential: Pick<NewCredential, 'exchange' | 'mayReplace' | 'isRepeat'>,
): boolean {
  if (agent?.revoked !== undefined) return !credential.isRepeat
  if (agent === undefined || credential.mayReplace) return true
  return credential.exchange !== undefined && agent.keys.some((key) => key.exchange === credential.exchange)
}

/** Why a key whose secret was right is refused, or undefined: its agent was revoked, or the key is replaced or forgotten. */
export function standingRefusal(agent: AgentDocument | undefined, keyId: string): HubError | undefined {
  const key = keyOf(agent, keyId)
  if (agent === undefined || key === undefined) return unauthorized()
  if (agent.revoked !== undefined) return agentRevoked(agent.agentId)
  if (key.state !== 'retired') return undefined
  return new HubError(
    'key_retired',
    `This key of agent ${agent.agentId} was replaced by a newer one. Use that, or enroll the agent again.`,
  )
}

/** The refusal of an agent for whose revocation there is a stored tombstone. */
export function agentRevoked(agentId: string): HubError {
  return new HubError('agent_revoked', `Agent ${agentId} was revoked. Enroll it again to use it.`)
}

/** The refusal of an exchange for an agent that is there already. */
export function agentExists(agentId: string): HubError {
  return new HubError(
    'agent_exists',
    `An agent ${agentId} was enrolled already. Choose another id, revoke that agent and use a fresh enrollment key, or use one made for this id.`,
  )
}

/** @throws HubError `agent_revoked`: nothing would ever take what is sent to it. */
export function assertNotRevoked(agent: AgentDocument): void {
  if (agent.revoked !== undefined) throw agentRevoked(agent.agentId)
}

function withKey(
  before: AgentDocument | undefined,
  credential: NewCredential,
  { keyId, hash }: MintedToken,
  createdMs: number,
): AgentDocument | undefined {
  if (!mayEnroll(before, credential)) return undefined
  const { agentId, labels, hostname, platform, exchange } = credential
  // A revoked agent that is enrolled again starts over; its old keys become unknown.
  const earlier = before === undefined || before.revoked !== undefined ? [] : before.keys
  return {
    agentId,
    keys: keysEnrolled(earlier, { keyId, hash, createdMs, ...(exchange === undefined ? {} : { exchange }) }),
    labels,
    ...(hostname === undefined ? {} : { hostname }),
    ...(platform === undefined ? {} : { platform }),
    createdMs: before?.createdMs ?? createdMs,
  }
}

function isSameIdentity(a: AgentIdentity = {}, b: AgentIdentity = {}): boolean {
  return isDeepStrictEqual({ labels: {}, ...a }, { labels: {}, ...b })
}

function withUsedKey(before: AgentDocument, keyId: string): AgentDocument {
  const { rotation: _, ...agent } = before
  return { ...agent, keys: keysUsed(agent.keys, keyId) }
}

function keyHistory(kind: string, agentId: string, keyId: string, clock: Clock): HistoryEntry {
  return { agentId, atMs: clock.wallMs(), kind, data: { keyId } }
}

/** The agent, if the token's secret is that of a key of its that is valid. */
function checkedAgent(agent: AgentDocument | undefined, parts: TokenParts): AgentDocument {
  const isRight = isSecret(parts.secret, keyOf(agent, parts.keyId)?.hash)
  if (agent === undefined || !isRight) throw unauthorized()
  const refusal = standingRefusal(agent, parts.keyId)
  if (refusal !== undefined) throw refusal
  return agent
}

function keyOf(agent: AgentDocument | undefined, keyId: string): AgentKey | undefined {
  return agent?.keys.find((key) => key.keyId === keyId)
}

function unauthorized(): HubError {
  return new HubError(
    'unauthorized',
    'No valid agent key was sent. Send the key from the exchange as "Authorization: Bearer …".',
  )
}
