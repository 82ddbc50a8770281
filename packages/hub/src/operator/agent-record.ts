/** Agents as operators see them: what is stored, joined with what this hub sees of them now. Pure. */
import { limits, pathAdvice, type AgentPresence, type AgentRecord } from '@downlink/protocol'
import type { AgentMemory } from '../controls/agent-memory.ts'
import type { Mailbox } from '../controls/mailbox.ts'
import type { AgentDocument } from '../enrollment/agents.ts'

/** A sync may be late by its own pace, and by this, ms, before its agent is. */
const GRACE_MS = 5_000
/** A clone that shows no life for this time, ms, is no longer shown: one that is refused asks again about each minute. */
const CLONE_SHOWN_MS = 150_000

/** What of an agent's is open now. */
export interface AgentLink {
  readonly isStreaming: boolean
  /** What is written on the stream arrives, as far as is known. */
  readonly isWorking: boolean
  readonly isPolling: boolean
}

/** One agent's record. */
export function agentRecord(
  agent: AgentDocument,
  mailbox: Mailbox | undefined,
  memory: AgentMemory | undefined,
  link: AgentLink,
  monotonicMs: number,
): AgentRecord {
  const identity = { ...agent.identity, ...memory?.identity }
  const { name = agent.hostname, version, os, arch, labels } = identity
  const acknowledges = memory?.acknowledges ?? mailbox?.acknowledges
  const status = agent.revoked === undefined ? presenceOf(memory, link, monotonicMs) : 'revoked'
  return {
    agentId: agent.agentId,
    status,
    transport: transportOf(link, status),
    // What the enrollment key says wins: an agent must not take another's labels.
    labels: { ...labels, ...agent.labels },
    ...(name === undefined ? {} : { name }),
    ...(version === undefined ? {} : { version }),
    ...(os === undefined ? {} : { os }),
    ...(arch === undefined ? {} : { arch }),
    ...(acknowledges === undefined ? {} : { acknowledges }),
    ...(memory?.lastSeenWallMs === undefined
      ? {}
      : { lastSeenAt: new Date(memory.lastSeenWallMs).toISOString() }),
    ...keyOf(agent),
    ...pathOf(memory),
    ...(memory?.blockedBy === undefined ? {} : { blockedBy: memory.blockedBy }),
    openControls: mailbox?.open.length ?? 0,
    taskCount: new Set([
      ...(mailbox?.tasks ?? []).map((task) => task.taskId),
      ...(memory?.tasks.keys() ?? []),
    ]).size,
  }
}

function keyOf({ keys, rotation }: AgentDocument): Pick<AgentRecord, 'keyCreatedAt' | 'keyRotation'> {
  const current = keys.find((key) => key.state === 'current')
  return {
    ...(current === undefined ? {} : { keyCreatedAt: new Date(current.createdMs).toISOString() }),
    ...(rotation === undefined ? {} : { keyRotation: 'asked' as const }),
  }
}

function pathOf(memory: AgentMemory | undefined): Pick<AgentRecord, 'roundTripMs' | 'lagMs' | 'path'> {
  const { streamProof, path } = memory ?? {}
  return {
    ...(streamProof === undefined ? {} : { roundTripMs: streamProof.roundTripMs }),
    ...(streamProof?.lagMs === undefined ? {} : { lagMs: streamProof.lagMs }),
    ...(path === undefined ? {} : { path: { ...path, ...pathAdvice(path) } }),
  }
}

/** By which way the agent is reached. */
export function transportOf(link: AgentLink, status: AgentPresence): AgentRecord['transport'] {
  if (link.isStreaming) return 'stream'
  return status === 'online' || status === 'late' || status === 'blocked' ? 'poll' : 'none'
}

/** The moments at which time alone changes {@link presenceOf}, if nothing else does, on the monotonic clock. */
export function presenceMarks(memory: AgentMemory, link: AgentLink): readonly number[] {
  const { lastSeenMonotonicMs: seenMs, clonedAtMonotonicMs: clonedMs } = memory
  const expectedMs = expectedSilenceMs(memory, link)
  return [
    ...(seenMs === undefined
      ? []
      : [seenMs + expectedMs + GRACE_MS + 1, seenMs + 2 * expectedMs + GRACE_MS + 1]),
    ...(clonedMs === undefined ? [] : [clonedMs + CLONE_SHOWN_MS]),
  ]
}

/** A poll that is held asks for nothing more until it is answered. */
function expectedSilenceMs(memory: AgentMemory, link: AgentLink): number {
  return Math.max(memory.expectedSyncMs, link.isPolling ? limits.WAKE_HOLD_MS_MAX : 0)
}

/** Only what the agent sends proves it: a heartbeat that was written need not have arrived. */
export function presenceOf(
  memory: AgentMemory | undefined,
  link: AgentLink,
  monotonicMs: number,
): AgentPresence {
  if (memory?.lastSeenMonotonicMs === undefined || memory.deregistered) return 'offline'
  if (memory.clonedAtMonotonicMs !== undefined && monotonicMs - memory.clonedAtMonotonicMs < CLONE_SHOWN_MS) {
    return 'cloned'
  }
  const silentMs = monotonicMs - memory.lastSeenMonotonicMs
  const expectedMs = expectedSilenceMs(memory, link)
  const isReached = link.isPolling || !link.isStreaming || link.isWorking
  if (silentMs <= expectedMs + GRACE_MS) {
    if (!isReached) return 'late'
    return memory.blockedBy === undefined ? 'online' : 'blocked'
  }
  return silentMs <= 2 * expectedMs + GRACE_MS ? 'late' : 'offline'
}
