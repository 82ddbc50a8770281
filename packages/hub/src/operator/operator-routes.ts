/** What the routes of the operator API are given. */
import type { Clock } from '@downlink/protocol'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { AgentMemories } from '../controls/agent-memory.ts'
import type { ControlWaits } from '../controls/control-waits.ts'
import type { ControlService } from '../controls/service.ts'
import type { SessionRegistry } from '../delivery/session-registry.ts'
import type { AgentDocument, Agents } from '../enrollment/agents.ts'
import type { EnrollmentKeys } from '../enrollment/enrollment-keys.ts'
import type { Logger } from '../logger.ts'
import type { Store } from '../store/store.ts'
import type { Operator, OperatorScope } from './operator-tokens.ts'

/** What the operator API needs of the hub. */
export interface OperatorAppOptions {
  readonly store: Store
  readonly clock: Clock
  readonly logger: Logger
  readonly agents: Agents
  readonly enrollmentKeys: EnrollmentKeys
  readonly service: ControlService
  readonly waits: ControlWaits
  readonly memories: AgentMemories
  readonly registry: SessionRegistry
  readonly isDraining: () => boolean
}

/** What every route is given. */
export interface OperatorRoutes extends OperatorAppOptions {
  readonly app: FastifyInstance
  /** @throws HubError `unauthorized`, `forbidden`. */
  readonly authorize: (request: FastifyRequest, scope: OperatorScope) => Promise<Operator>
  /** The agent. @throws HubError `agent_not_found`. */
  readonly findAgent: (agentId: string) => Promise<AgentDocument>
  /** The agent, which somebody looks at: it counts as watched from now on. @throws HubError `agent_not_found`. */
  readonly watchAgent: (agentId: string) => Promise<AgentDocument>
}
