/** A mailbox being changed: collects the new value and the history of one decision. */
import {
  limits,
  type ControlRecord,
  type ControlState,
  type Json,
  type Stamp,
  type StampName,
} from '@downlink/protocol'
import type { HistoryEntry } from '../store/store.ts'
import { controlRecord, type ControlEntry, type Mailbox, type TaskEntry } from './mailbox.ts'

/** When, and in which life of which hub, a decision is made. Handed in: decisions read no clock. */
export interface DecisionTime {
  readonly wallMs: number
  readonly serviceMs: number
  /** The store's epoch. */
  readonly epoch: number
  /** Names this life of the hub. */
  readonly hubBoot: string
}

/** What this hub has written to the agent, from memory: stamps are committed with the next change, never by themselves. */
export interface WriteRecord {
  readonly firstWallMs: number
  readonly firstServiceMs: number
  readonly lastServiceMs: number
}

/** Writes by control id. `undefined` while the bytes are on their way to a socket: the agent may see them, nobody knows yet. */
export type WriteLog = ReadonlyMap<string, WriteRecord | undefined>

/** What the functions of the life cycle return: the new mailbox, or the very same if nothing changed. */
export interface Decision {
  readonly mailbox: Mailbox
  readonly history: readonly HistoryEntry[]
}

/** The working state of one decision. Not shared, not kept. */
export class MailboxDraft {
  mailbox: Mailbox
  readonly time: DecisionTime
  readonly #before: Mailbox
  readonly #written: WriteLog
  readonly #history: HistoryEntry[] = []

  constructor(mailbox: Mailbox, time: DecisionTime, written: WriteLog) {
    this.mailbox = mailbox
    this.time = time
    this.#before = mailbox
    this.#written = written
  }

  set(change: Partial<Mailbox>): void {
    this.mailbox = { ...this.mailbox, ...change }
  }

  log(kind: string, ids: { controlId?: string; taskId?: string }, data: Json): void {
    this.#history.push({ agentId: this.mailbox.agentId, atMs: this.time.wallMs, kind, ...ids, data })
  }

  stamp(by: string, agoMs = 0): Stamp {
    // An agent may claim any past, and there is no date for some of them.
    return { at: new Date(Math.max(0, this.time.wallMs - agoMs)).toISOString(), by }
  }

  /**
   * A moment in the life of `entry` that the agent tells of. Whatever it claims, and whatever a wall clock does, not before
   * the control was made, nor before it was applied: stamps are in order.
   */
  stampOfAgent({ stamps }: ControlEntry, agoMs = 0): Stamp {
    const { at, by } = this.stamp('agent', agoMs)
    return { at: [at, stamps.created?.at ?? at, stamps.applied?.at ?? at].reduce(later), by }
  }

  writeOf(entry: ControlEntry): WriteRecord | undefined {
    return this.#written.get(entry.controlId)
  }

  /** Whether the agent may have seen the control. A crash loses the write log, so an entry of another life of the hub counts as written. */
  mayBeWritten(entry: ControlEntry): boolean {
    return (
      entry.stamps.written !== undefined ||
      this.#written.has(entry.controlId) ||
      entry.hubBoot !== this.time.hubBoot
    )
  }

  replaceOpen(entry: ControlEntry): void {
    this.set({
      open: this.mailbox.open.map((other) => (other.controlId === entry.controlId ? entry : other)),
    })
  }

  replaceSettled(entry: ControlEntry): void {
    this.set({
      settled: this.mailbox.settled.map((other) => (other.controlId === entry.controlId ? entry : other)),
    })
  }

  replaceTask(task: TaskEntry): void {
    this.set({ tasks: this.mailbox.tasks.map((other) => (other.taskId === task.taskId ? task : other)) })
    this.log(
      'task.changed',
      { taskId: task.taskId },
      { state: task.state, ...(task.errorMessage === undefined ? {} : { errorMessage: task.errorMessage }) },
    )
  }

  /** Moves an open control to the settled ones with its outcome. */
  settle(
    entry: ControlEntry,
    outcome: ControlState,
    stamps: Partial<Record<StampName, Stamp>> = {},
    extra: Pick<ControlEntry, 'unconfirmed' | 'mayHaveApplied'> = {},
  ): void {
    const unknowable = outcome.state === 'superseded' || outcome.state === 'expired'
    const settled: ControlEntry = withWritten(
      {
        ...entry,
        ...extra,
        outcome,
        stamps: { ...entry.stamps, ...stamps },
        ...(unknowable && this.mayBeWritten(entry) ? { mayHaveApplied: true as const } : {}),
      },
      this.writeOf(entry),
    )
    this.set({
      open: this.mailbox.open.filter((other) => other.controlId !== entry.controlId),
      settled: [...keptBehindNewest(this.mailbox.settled), settled],
    })
    this.logControl('control.settled', settled)
  }

  logControl(kind: string, entry: ControlEntry): void {
    const record = controlRecord(this.mailbox.agentId, entry)
    this.log(kind, { controlId: entry.controlId, taskId: entry.taskId }, record as unknown as Json)
  }

  /** The decision. A change brings along the `written` stamps that had been waiting for one. */
  finish(): Decision {
    if (this.mailbox === this.#before) return { mailbox: this.#before, history: [] }
    this.set({
      version: this.mailbox.version + 1,
      open: this.mailbox.open.map((entry) => withWritten(entry, this.writeOf(entry))),
      settled: this.mailbox.settled.map((entry) => withWritten(entry, this.writeOf(entry))),
    })
    return { mailbox: this.mailbox, history: this.#history }
  }
}

/** Those of the settled controls that stay when one more settles; what goes is read from history. */
function keptBehindNewest(before: readonly ControlEntry[]): readonly ControlEntry[] {
  let leftBytes: number = limits.SETTLED_ARGS_BYTES_MAX
  const kept: ControlEntry[] = []
  for (const entry of before.slice(1 - limits.SETTLED_CONTROLS_MAX).reverse()) {
    const argsBytes = entry.args === null ? 0 : Buffer.byteLength(JSON.stringify(entry.args))
    // Only those with large arguments go before their time: what is yet to be seen of a cancel must find it here.
    if (argsBytes > leftBytes) continue
    leftBytes -= argsBytes
    kept.push(entry)
  }
  return kept.reverse()
}

/**
 * The control with the time at which it was first written, as far as is known: after it was made, and no later than it was
 * received. The very same if it has that already.
 */
export function withWritten<C extends Pick<ControlRecord, 'outcome' | 'stamps'>>(
  control: C,
  write: WriteRecord | undefined,
): C {
  const { created, written: before, received } = control.stamps
  const known = before?.at ?? (write && new Date(write.firstWallMs).toISOString())
  if (known === undefined) return control
  const first = received !== undefined && received.at < known ? received.at : known
  const at = later(first, created?.at ?? first)
  if (before?.at === at) return control
  const outcome: ControlState = control.outcome.state === 'pending' ? { state: 'delivered' } : control.outcome
  return { ...control, outcome, stamps: { ...control.stamps, written: { at, by: 'hub' } } }
}

/** Of two times as stamps have them. */
function later(a: string, b: string): string {
  return a > b ? a : b
}
