/** Which stream is an agent's: the newest of one boot, otherwise the last to arrive. */
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
        session.end()
        return false
      }
      sessions.set(session.agentId, session)
      present?.end()
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
