/** The agents that have a credential: who they are, which keys they hold, whether they were revoked. */
import { limits, parseToken, type Clock, type TokenParts } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import type { PageRequest, Store } from '../store/store.ts'
import { isSecret, mintToken, type MintedToken } from './secrets.ts'

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

/** An agent as it is stored. */
export interface AgentDocument {
  readonly agentId: string
  readonly keys: readonly AgentKey[]
  readonly labels: Readonly<Record<string, string>>
  readonly hostname?: string
  readonly platform?: string
  readonly createdMs: number
  /** A tombstone: the one reason to tell an agent that it was revoked. */
  readonly revoked?: { readonly atMs: number; readonly by: string }
}

/** A credential to make. */
export interface NewCredential {
  readonly agentId: string
  readonly labels: Readonly<Record<string, string>>
  readonly hostname?: string
  readonly platform?: string
  /** Names this exchange; a key made by the same one is replaced. */
  readonly exchange?: string
  /** The enrollment key names this agent, so an existing one may be enrolled anew. */
  readonly mayReplace: boolean
  /** The exchange was made before and consumed nothing now: it must not bring back an agent revoked since. */
  readonly isRepeat: boolean
}

/** The agents of one store. */
export interface Agents {
  read(agentId: string): Promise<AgentDocument | undefined>
  list(page: PageRequest<string>): Promise<readonly AgentDocument[]>
  /**
   * The agent that a bearer token belongs to.
   * @throws HubError `unauthorized`, `key_retired`, or `agent_revoked` for a stored tombstone only.
   */
  authenticate(token: string | undefined): Promise<AgentDocument>
  /** Makes a key. @throws HubError `agent_exists`. */
  mint(credential: NewCredential): Promise<MintedToken>
  /** Revokes all keys in one commit; false if there is no such agent. */
  revoke(agentId: string, by: string): Promise<boolean>
}

/** Reads and changes the agents of `store`. */
export function createAgents(store: Store, clock: Clock): Agents {
  return {
    read: (agentId) => store.read<AgentDocument>('agents', agentId),
    async list(page) {
      return (await store.list<AgentDocument>('agents', page)).map(({ document }) => document)
    },
    async authenticate(token) {
      const parts = token === undefined ? undefined : parseToken('agent', token)
      if (parts === undefined) throw unauthorized()
      return checkKey(await store.read<AgentDocument>('agents', parts.owner), parts)
    },
    async mint(credential) {
      const minted = mintToken('agent', credential.agentId)
      const createdMs = clock.wallMs()
      const isMinted = await store.update<AgentDocument, boolean>('agents', credential.agentId, (before) => {
        const document = withKey(before, credential, minted, createdMs)
        return document === undefined ? { result: false } : { document, result: true }
      })
      if (!isMinted) throw agentExists(credential.agentId)
      return minted
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

function withKey(
  before: AgentDocument | undefined,
  credential: NewCredential,
  minted: MintedToken,
  createdMs: number,
): AgentDocument | undefined {
  if (!mayEnroll(before, credential)) return undefined
  const { agentId, labels, hostname, platform, exchange } = credential
  const key: AgentKey = {
    keyId: minted.keyId,
    hash: minted.hash,
    state: 'current',
    createdMs,
    ...(exchange === undefined ? {} : { exchange }),
  }
  // A revoked agent that is enrolled again starts over; its old keys become unknown.
  const earlier = before === undefined || before.revoked !== undefined ? [] : before.keys
  const retired = earlier
    .filter((other) => exchange === undefined || other.exchange !== exchange)
    .map((other): AgentKey => ({ ...other, state: 'retired' }))
  return {
    agentId,
    keys: [...retired, key].slice(-limits.AGENT_KEYS_MAX),
    labels,
    ...(hostname === undefined ? {} : { hostname }),
    ...(platform === undefined ? {} : { platform }),
    createdMs: before?.createdMs ?? createdMs,
  }
}

function checkKey(agent: AgentDocument | undefined, parts: TokenParts): AgentDocument {
  const key = agent?.keys.find((other) => other.keyId === parts.keyId)
  if (agent === undefined || key === undefined || !isSecret(parts.secret, key.hash)) throw unauthorized()
  if (agent.revoked !== undefined) {
    throw agentRevoked(agent.agentId)
  }
  if (key.state === 'retired') {
    throw new HubError(
      'key_retired',
      `This key of agent ${agent.agentId} was replaced by a newer one. Use that, or enroll the agent again.`,
    )
  }
  return agent
}

function unauthorized(): HubError {
  return new HubError(
    'unauthorized',
    'No valid agent key was sent. Send the key from the exchange as "Authorization: Bearer …".',
  )
}
