/** The frames of the operators' feed, and what it makes of history: the record that a fact is about. */
import {
  agentOfControl,
  encodeSseEvent,
  isJsonObject,
  stringField,
  type AgentRecord,
  type ControlRecord,
  type FeedEvent,
  type TaskRecord,
  type TaskState,
} from '@downlink/protocol'
import type { StoredHistoryEntry } from '../store/store.ts'

/** Where present records are read: history holds controls whole, of agents and tasks only what became of them. */
export interface FeedRecords {
  agent(agentId: string): Promise<AgentRecord | undefined>
  task(agentId: string, taskId: string): Promise<TaskRecord | undefined>
}

/**
 * The event of one fact; undefined if there is nothing to show, as of an agent that is unknown by now.
 *
 * Controls are as they were then, agents and tasks as they are now: a feed is level, not edge, so a reader that keeps
 * the last record of each is right.
 */
export async function feedEventOf(
  entry: StoredHistoryEntry,
  records: FeedRecords,
): Promise<FeedEvent | undefined> {
  const { agentId, controlId, taskId, kind, data } = entry
  if (agentId === undefined) return undefined
  const id = String(entry.sequence)
  if (controlId !== undefined && agentOfControl(controlId) === agentId && isJsonObject(data)) {
    return { id, type: 'control', control: data as unknown as ControlRecord }
  }
  if (kind.startsWith('agent.')) {
    const agent = await records.agent(agentId)
    return agent && { id, type: 'agent', agent }
  }
  if (taskId === undefined) return undefined
  const task = (await records.task(agentId, taskId)) ?? forgottenTask(agentId, entry, taskId)
  return task && { id, type: 'task', task }
}

/** The frame of an event. */
export function encodeFeedEvent(event: FeedEvent): Uint8Array {
  return encodeSseEvent({ event: event.type, id: event.id, data: JSON.stringify(event) })
}

/** The frame of an agent whose presence has changed: that is no place in history, so there is no id. */
export function encodePresence(agent: AgentRecord): Uint8Array {
  return encodeSseEvent({ event: 'agent', data: JSON.stringify({ type: 'agent', agent }) })
}

/** Tells a reader where it is before anything happens, so that nothing is missed if its connection breaks first. */
export function encodeBegin(sequence: number): Uint8Array {
  return encodeFeedEvent({ id: String(sequence), type: 'begin' })
}

/** Why what was shown may be out of date. */
export type ResetReason = 'history_dropped' | 'hub_restarted' | 'many_changes'

/** Read the listings again. @param sequence - where the feed goes on from. */
export function encodeReset(sequence: number, reason: ResetReason): Uint8Array {
  return encodeFeedEvent({ id: String(sequence), type: 'reset', reason })
}

/** A task that has left the mailbox since: what history says of it. */
function forgottenTask(
  agentId: string,
  { kind, atMs, data }: StoredHistoryEntry,
  taskId: string,
): TaskRecord | undefined {
  const state = kind === 'task.changed' && isJsonObject(data) ? stringField(data, 'state', 32) : undefined
  if (state === undefined) return undefined
  return { agentId, taskId, state: state as TaskState, changedAt: new Date(atMs).toISOString() }
}
