/** Reads what the record of an agent is made of: what is stored, and what this hub sees of it. */
import type { AgentRecord, Clock, TaskRecord } from '@downlink/protocol'
import type { AgentMemories, AgentMemory } from '../controls/agent-memory.ts'
import type { Mailbox } from '../controls/mailbox.ts'
import { taskRecords } from '../controls/task-records.ts'
import type { SessionRegistry } from '../delivery/session-registry.ts'
import { evidenceOf, isStreamWorking } from '../delivery/stream-proof.ts'
import type { WakePolls } from '../delivery/wake-polls.ts'
import type { AgentDocument, Agents } from '../enrollment/agents.ts'
import type { FeedRecords } from '../feed/feed-events.ts'
import type { Store } from '../store/store.ts'
import { agentRecord, type AgentLink } from './agent-record.ts'
import { shownTransitions } from './presence-log.ts'

/** Where it is seen what of an agent's is open. */
export interface LinkSources {
  readonly registry: SessionRegistry
  readonly polls: Pick<WakePolls, 'isHeld'>
  readonly heartbeatMs: number
}

/** Where records are read. */
export interface RecordSources extends LinkSources {
  readonly store: Store
  readonly clock: Clock
  readonly agents: Agents
  readonly memories: AgentMemories
}

/** The agent as operators see it. */
export async function readAgentRecord(sources: RecordSources, agent: AgentDocument): Promise<AgentRecord> {
  const { store, memories, clock } = sources
  const { agentId } = agent
  const mailbox = await store.read<Mailbox>('mailboxes', agentId)
  const memory = memories.peek(agentId)
  const nowMs = clock.monotonicMs()
  return agentRecord(agent, mailbox, memory, agentLink(sources, agentId, memory, nowMs), nowMs)
}

/** The same with the last changes of its presence. */
export async function readAgentDetail(
  sources: RecordSources & { readonly presence: { note(agentId: string): void } },
  agent: AgentDocument,
): Promise<AgentRecord> {
  const { agentId, revoked } = agent
  if (revoked === undefined) sources.presence.note(agentId)
  const transitions = shownTransitions(sources.memories.peek(agentId), revoked?.atMs)
  return { ...(await readAgentRecord(sources, agent)), transitions }
}

/** What of an agent's is open now. */
export function agentLink(
  { registry, polls, heartbeatMs }: LinkSources,
  agentId: string,
  memory: AgentMemory | undefined,
  nowMs: number,
): AgentLink {
  const session = registry.get(agentId)
  return {
    isStreaming: session !== undefined,
    isWorking:
      session !== undefined && isStreamWorking(evidenceOf(session, memory?.streamProof, heartbeatMs, nowMs)),
    isPolling: polls.isHeld(agentId),
  }
}

/** The records of which the feed tells. */
export function feedRecords(sources: RecordSources): FeedRecords {
  const { store, agents, memories } = sources
  return {
    async agent(agentId): Promise<AgentRecord | undefined> {
      const agent = await agents.read(agentId)
      return agent && readAgentRecord(sources, agent)
    },
    async task(agentId, taskId): Promise<TaskRecord | undefined> {
      const mailbox = await store.read<Mailbox>('mailboxes', agentId)
      if (mailbox === undefined) return undefined
      return taskRecords(mailbox, memories.peek(agentId)).find((task) => task.taskId === taskId)
    },
  }
}
