/** What the routes of the operator API are given. */
import type { Clock, OperatorScope } from '@downlink/protocol'
import type { FastifyInstance, FastifyRequest, onRequestAsyncHookHandler } from 'fastify'
import type { AgentMemories } from '../controls/agent-memory.ts'
import type { ControlWaits } from '../controls/control-waits.ts'
import type { ControlService } from '../controls/service.ts'
import type { Nudges } from '../delivery/nudges.ts'
import type { SessionRegistry } from '../delivery/session-registry.ts'
import type { WakePolls } from '../delivery/wake-polls.ts'
import type { AgentDocument, Agents } from '../enrollment/agents.ts'
import type { EnrollmentKeys } from '../enrollment/enrollment-keys.ts'
import type { Feed } from '../feed/feed.ts'
import type { RateLimits } from '../http/rate-limits.ts'
import type { Logger } from '../logger.ts'
import type { Metric } from '../metrics/metric-registry.ts'
import type { ReadUse, Store } from '../store/store.ts'
import type { AuthenticateOperator } from './operator-authentication.ts'
import type { AuthenticOperator, OperatorTokens } from './operator-tokens.ts'
import type { PresenceNotes } from './presence-notes.ts'

/** What the operator API needs of the hub. */
export interface OperatorAppOptions {
  readonly store: Store
  readonly clock: Clock
  readonly logger: Logger
  readonly agents: Agents
  readonly enrollmentKeys: EnrollmentKeys
  readonly operatorTokens: OperatorTokens
  readonly service: ControlService
  readonly waits: ControlWaits
  readonly rates: RateLimits
  readonly memories: AgentMemories
  readonly registry: SessionRegistry
  readonly polls: WakePolls
  readonly nudges: Nudges
  readonly presence: PresenceNotes
  /** The window over which the agents of this hub come back after a loss, ms. */
  readonly windowMs: () => number
  readonly feed: Feed
  readonly heartbeatMs: number
  readonly isDraining: () => boolean
  readonly basePath: string
  readonly authenticateOperator: AuthenticateOperator | undefined
  readonly metrics: readonly Metric[]
  /** Metrics are for whoever can reach them. */
  readonly areMetricsOpen: boolean
}

/** What every route is given. */
export interface OperatorRoutes extends OperatorAppOptions {
  readonly app: FastifyInstance
  /** A route's `onRequest`: lets in who has the scope, before the body is read. It throws `unauthorized`, `forbidden`, `too_many_requests`. */
  readonly needs: (scope: OperatorScope) => onRequestAsyncHookHandler
  /** Who sent a request that `needs` let in. */
  readonly operatorOf: (request: FastifyRequest) => AuthenticOperator
  /** The agent. @throws HubError `agent_not_found`. */
  readonly findAgent: (agentId: string, use?: ReadUse) => Promise<AgentDocument>
  /** The agent that a control is for; its mailbox is read meanwhile. @throws HubError `agent_not_found`, `agent_revoked`. */
  readonly findTarget: (agentId: string) => Promise<AgentDocument>
  /** The agent, which somebody looks at: it counts as watched from now on. @throws HubError `agent_not_found`. */
  readonly watchAgent: (agentId: string) => Promise<AgentDocument>
}
