/** Which stream is an agent's: the newest of one boot, otherwise the last to arrive. */
import { limits, type Clock } from '@downlink/protocol'
import type { AgentMemory } from '../controls/agent-memory.ts'
import { HubError } from '../hub-error.ts'
import { decideDisplacement } from './displacements.ts'
import type { Session } from './session.ts'

/** At most one session per agent. */
export interface SessionRegistry {
  readonly size: number
  get(agentId: string): Session | undefined
  all(): Iterable<Session>
  /** Makes `session` its agent's stream and ends the one it replaces; or ends `session` and returns false, if that is the older. */
  attach(session: Session): boolean
  /** Forgets an ended session; one that has been replaced is left alone. */
  detach(session: Session): void
}

/** Makes an empty registry. */
export function createSessionRegistry(): SessionRegistry {
  const sessions = new Map<string, Session>()
  return {
    get size() {
      return sessions.size
    },
    get: (agentId) => sessions.get(agentId),
    all: () => sessions.values(),
    attach(session) {
      const present = sessions.get(session.agentId)
      if (present !== undefined && isNewer(present, session)) {
        session.end('displaced')
        return false
      }
      sessions.set(session.agentId, session)
      present?.end('displaced')
      return true
    },
    detach(session) {
      if (sessions.get(session.agentId) === session) sessions.delete(session.agentId)
    },
  }
}

/** Only within one boot can a request that arrives later be known to be older: a proxy held it back. */
function isNewer(present: Session, arrived: Session): boolean {
  return (
    present.boot !== undefined &&
    present.boot.bootNonce === arrived.boot?.bootNonce &&
    present.boot.connectCounter > arrived.boot.connectCounter
  )
}

/**
 * Lets one more stream or poll of an original take the place of the present one.
 * @throws HubError `too_many_streams`, from the sixth within a minute on: the agent is shown as cloned then.
 */
export function admitDisplacement(memory: AgentMemory, agentId: string, clock: Clock): void {
  const nowMs = clock.monotonicMs()
  const decided = decideDisplacement(memory.displacedAtMs, nowMs)
  if (decided.isAdmitted) {
    memory.displacedAtMs = decided.times
    return
  }
  memory.clonedAtMonotonicMs = nowMs
  throw new HubError(
    'too_many_streams',
    `The stream of agent ${agentId} was taken over ${limits.ORIGINAL_DISPLACEMENTS_MAX} times in a minute, so there may be two of it. Stop one of them, or connect again later.`,
    { retryAfterMs: decided.retryAfterMs },
  )
}
