/** The mailbox: all that the hub must remember about one agent's controls and tasks, as one bounded document. */
import type {
  ControlRecord,
  ControlState,
  Delivery,
  IssuedControl,
  Json,
  LanePolicy,
  Stamp,
  StampName,
  TaskState,
} from '@downlink/protocol'

/** A control in the mailbox. */
export interface ControlEntry extends IssuedControl {
  readonly lanePolicy: LanePolicy
  readonly delivery: Delivery
  /** On the store's service time; absent for a control that does not expire. */
  readonly expiresAtServiceMs?: number
  /** Which life of the hub created it: any other cannot know whether it was written before a crash. */
  readonly hubBoot: string
  readonly outcome: ControlState
  readonly stamps: Readonly<Partial<Record<StampName, Stamp>>>
  readonly mayHaveApplied?: true
  readonly unconfirmed?: true
  readonly lateOutcome?: ControlState
  /** An observed cancel that a later sync contradicted. */
  readonly diverged?: true
  /** Its task then reported another end, so that its absence later is no cancel. */
  readonly endedOtherwise?: true
  /** Originals: syncs in a row, begun after the write, in which the task was absent or over. */
  readonly missingSyncs?: number
}

/** A task that was created at the hub. Others are known only from the agent's last sync. */
export interface TaskEntry {
  readonly taskId: string
  readonly kind: string
  /** Dropped when the task is over. */
  readonly input?: Json
  readonly state: TaskState
  readonly errorMessage?: string
  readonly errorCode?: string
  readonly result?: Json
  /** Originals: syncs in a row in which a task at work was not listed. */
  readonly missingSyncs?: number
  /** By the hub's wall clock. */
  readonly changedAtMs: number
}

/** A key that an operator sent, with what it made. */
export interface IdempotencyEntry {
  readonly key: string
  readonly bodyHash: string
  readonly madeId: string
}

/** One agent's mailbox. A value: every change makes a new one. */
export interface Mailbox {
  readonly agentId: string
  /** Grows with every change that an agent could want to fetch. */
  readonly version: number
  readonly epoch: number
  /** The last revision issued. */
  readonly revision: number
  /** Whether the agent reports outcomes; absent before its first sync. */
  readonly acknowledges?: boolean
  readonly journalId?: string
  /** How many records that journal had taken, as of the last commit. */
  readonly journalPosition?: number
  /** The newest boot, with its counter as of the last commit. */
  readonly boot?: { readonly bootNonce: string; readonly connectCounter: number }
  readonly earlierBoots: readonly string[]
  /** Not settled, in the order of creation. */
  readonly open: readonly ControlEntry[]
  /** Settled, in the order of settling; the oldest go first. */
  readonly settled: readonly ControlEntry[]
  readonly idempotency: readonly IdempotencyEntry[]
  readonly tasks: readonly TaskEntry[]
}

/** A mailbox in which nothing has happened. */
export function emptyMailbox(agentId: string): Mailbox {
  return {
    agentId,
    version: 0,
    epoch: 0,
    revision: 0,
    earlierBoots: [],
    open: [],
    settled: [],
    idempotency: [],
    tasks: [],
  }
}

/** The entry of a control, open or settled, or undefined if the mailbox no longer has it. */
export function findControl(mailbox: Mailbox, controlId: string): ControlEntry | undefined {
  const sameId = (entry: ControlEntry): boolean => entry.controlId === controlId
  return mailbox.open.find(sameId) ?? mailbox.settled.findLast(sameId)
}

/** A control as operators see it. */
export function controlRecord(agentId: string, entry: ControlEntry): ControlRecord {
  const { lanePolicy: _, expiresAtServiceMs: __, hubBoot: ___, missingSyncs: ____, ...record } = entry
  return { agentId, ...record }
}
