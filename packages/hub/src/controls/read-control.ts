/** Finds a control by its id: in its agent's mailbox, or in history once it has left that. */
import {
  agentOfControl,
  compareRevisions,
  isJsonObject,
  limits,
  type ControlRecord,
} from '@downlink/protocol'
import type { Store } from '../store/store.ts'
import type { AgentMemories } from './agent-memory.ts'
import { withWritten } from './draft.ts'
import { controlRecord, findControl, type Mailbox } from './mailbox.ts'

/** The control as operators see it, or undefined if nobody ever made it. */
export async function readControl(
  store: Store,
  memories: AgentMemories,
  controlId: string,
): Promise<ControlRecord | undefined> {
  const agentId = agentOfControl(controlId)
  if (agentId === undefined) return undefined
  const mailbox = await store.read<Mailbox>('mailboxes', agentId)
  if (mailbox === undefined) return undefined
  return controlIn(mailbox, memories, controlId) ?? readFromHistory(store, agentId, controlId)
}

/** The control as operators see it, or undefined if it has left the mailbox. */
export function controlIn(
  mailbox: Mailbox,
  memories: AgentMemories,
  controlId: string,
): ControlRecord | undefined {
  const entry = findControl(mailbox, controlId)
  if (entry === undefined) return undefined
  const { agentId } = mailbox
  // A stamp may still wait in memory for the next commit.
  return withWritten(controlRecord(agentId, entry), memories.peek(agentId)?.writes.get(controlId))
}

/** The controls that a mailbox holds, newest first. */
export function controlsOf(mailbox: Mailbox, memories: AgentMemories): readonly ControlRecord[] {
  const writes = memories.peek(mailbox.agentId)?.writes
  return [...mailbox.open, ...mailbox.settled]
    .toSorted((a, b) => compareRevisions(b, a))
    .map((entry) => withWritten(controlRecord(mailbox.agentId, entry), writes?.get(entry.controlId)))
}

/** The last that history says about the control; each of its entries holds the whole record of then. */
async function readFromHistory(
  store: Store,
  agentId: string,
  controlId: string,
): Promise<ControlRecord | undefined> {
  // A control has a handful of entries: one for each step of its life.
  const entries = await store.readHistory({ agentId, controlId }, { limit: limits.PAGE_MAX })
  const found = entries.findLast((entry) => isJsonObject(entry.data))
  return found?.data as ControlRecord | undefined
}
