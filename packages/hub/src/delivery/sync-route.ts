/** POST sync: the truth about an agent, taken in and answered. */
import { controlToJson, limits, parseSyncRequest, type Clock, type SyncRequest } from '@downlink/protocol'
import {
  hasRunningTasks,
  isWatched,
  rememberReplied,
  type AgentMemories,
  type AgentMemory,
} from '../controls/agent-memory.ts'
import { nextSyncMs } from '../controls/pace.ts'
import type { ControlService } from '../controls/service.ts'
import type { Agents } from '../enrollment/agents.ts'
import { HubError } from '../hub-error.ts'
import type { AgentCall, AgentRoute } from '../http/agent-api.ts'
import { replyJson } from '../http/json-reply.ts'
import type { Logger } from '../logger.ts'
import { readJsonObject } from '../http/json-request.ts'
import type { DeliveryCounts } from './delivery-counts.ts'
import { hashTaken } from './earlier-boots.ts'
import type { HeartbeatTimes } from './heartbeat-times.ts'
import type { OwnSync } from './own-sync.ts'
import type { SessionRegistry } from './session-registry.ts'
import { evidenceOf, isStreamWorking, proofOf } from './stream-proof.ts'
import type { WakePolls } from './wake-polls.ts'

/** What the route needs of the hub. */
export interface SyncRouteOptions {
  readonly clock: Clock
  readonly service: ControlService
  readonly memories: AgentMemories
  readonly registry: SessionRegistry
  readonly polls: WakePolls
  readonly agents: Agents
  readonly times: HeartbeatTimes
  readonly heartbeatMs: number
  readonly ownSync: OwnSync
  readonly logger: Logger
  readonly counts: DeliveryCounts
}

/** The route. A change that is made meanwhile reaches the agent by its stream, or else with its next sync. */
export function createSyncRoute(options: SyncRouteOptions): AgentRoute {
  const { clock, service, memories, registry, polls, agents, times, logger } = options

  async function handle(call: AgentCall): Promise<void> {
    const { agent, keyId, request, response, beganServiceMs } = call
    const { agentId } = agent
    const beganMs = clock.monotonicMs()
    const body = await readJsonObject(request, limits.AGENT_BODY_BYTES_MAX)
    const sync = parseSyncRequest(body)
    if (sync === undefined) throw new HubError('bad_request', 'The sync has no agentId. Add it.')
    if (sync.agentId !== agentId) throw agentMismatch()
    const memory = memories.of(agentId)
    memory.isNudged = false
    const answer = await service.sync(agentId, sync, beganServiceMs)
    if (answer === 'clone') throw hashTaken(agentId)
    keepIdentity(call)
    await endReplacedStream(agentId, sync)
    const own = await options.ownSync(agentId, body, answer)
    rememberHealth(memory, sync, times, clock.monotonicMs())
    const watching = isWatched(memory, clock.monotonicMs())
    memory.expectedSyncMs = nextSyncMs({
      isStreaming: isReachedByStream(agentId, memory),
      isWatched: watching,
      hasRunningTasks: hasRunningTasks(memory),
      isCut: answer.isCut || own?.isCut === true,
    })
    const isSent = await replyJson(response, 200, {
      ...own?.extra,
      controls: [...answer.controls, ...(own?.controls ?? [])].map((control) => controlToJson(control)),
      newTasks: [...answer.newTasks, ...(own?.newTasks ?? [])],
      watching,
      acked: answer.acked,
      nextSyncMs: memory.expectedSyncMs,
      hubMs: Math.round(clock.wallMs()),
      ...(agents.isRotationWanted(agent, keyId) ? { rotateKey: true } : {}),
    })
    if (isSent) {
      rememberReplied(memory, answer.version)
      service.recordWritten(
        agentId,
        answer.controls.map((control) => control.controlId),
      )
    }
    polls.recheck(agentId)
    options.counts.syncSeconds.observe((clock.monotonicMs() - beganMs) / 1_000)
  }

  /** Nobody waits for it: the next sync says the same again. */
  function keepIdentity({ agent }: AgentCall): void {
    agents.keepIdentity(agent, memories.of(agent.agentId).identity).catch((error: unknown) => {
      logger.debug({ agentId: agent.agentId, error }, 'What an agent says of itself was not kept')
    })
  }

  /** A sync of a newer boot has made the boot of the open stream an earlier one, which is pushed nothing any more. */
  async function endReplacedStream(agentId: string, { boot }: SyncRequest): Promise<void> {
    const nonce = registry.get(agentId)?.boot?.bootNonce
    if (boot === undefined || nonce === undefined || nonce === boot.bootNonce) return
    const { earlierBoots } = await service.mailbox(agentId)
    const session = registry.get(agentId)
    if (session?.boot !== undefined && earlierBoots.includes(session.boot.bootNonce)) session.end('displaced')
  }
  /** A stream whose heartbeats are not echoed may bring nothing. */
  function isReachedByStream(agentId: string, memory: AgentMemory): boolean {
    const session = registry.get(agentId)
    if (session === undefined) return false
    return isStreamWorking(evidenceOf(session, memory.streamProof, options.heartbeatMs, clock.monotonicMs()))
  }

  return { method: 'POST', path: 'sync', handle }
}

/** Notes what a sync shows of the stream, of the path and of the agent's standing; what it leaves out is not known any more. */
function rememberHealth(
  memory: AgentMemory,
  { heartbeat, path, blockedBy }: SyncRequest,
  times: HeartbeatTimes,
  nowMs: number,
): void {
  memory.streamProof =
    heartbeat === undefined ? undefined : proofOf(heartbeat, times.roundTripMs(heartbeat, nowMs))
  memory.path = path
  memory.blockedBy = blockedBy
}

/** The refusal of a body that names another agent than the credential does. */
export function agentMismatch(): HubError {
  return new HubError(
    'agent_mismatch',
    'The agentId in the body is not the one of the key. Send the id that the key was issued for.',
  )
}
