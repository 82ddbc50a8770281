/** The hub's control life cycle: what becomes of a mailbox when controls are created, expire or are handed out. Pure. */
import {
  isStateVerb,
  isTerminalStatus,
  laneOf,
  limits,
  type Delivery,
  type IssuedControl,
  type Json,
  type LanePolicy,
} from '@downlink/protocol'
import { MailboxDraft, type Decision, type DecisionTime, type WriteLog } from './draft.ts'
import {
  findControl,
  type ControlEntry,
  type IdempotencyEntry,
  type Mailbox,
  type TaskEntry,
} from './mailbox.ts'

/** A control that an operator asks for, already valid by itself. `controlId` is minted before the first attempt. */
export interface NewControl {
  readonly controlId: string
  readonly action: string
  readonly taskId: string
  readonly args: Json
  /** Absent: the default of the verb; `cancel` has none. */
  readonly ttlMs?: number
  readonly lanePolicy?: LanePolicy
  readonly delivery?: Delivery
  readonly operator: string
  readonly idempotency?: { readonly key: string; readonly bodyHash: string }
}

/** What came of asking for a control. */
export type CreateResult =
  | { readonly kind: 'created'; readonly controlId: string }
  /** The same request was accepted before, under this id. */
  | { readonly kind: 'replayed'; readonly controlId: string }
  | {
      readonly kind: 'refused'
      readonly code: 'task_cancelling' | 'mailbox_full' | 'lane_full' | 'idempotency_conflict'
      /** The open cancel, for `task_cancelling`. */
      readonly controlId?: string
    }

/** Creates a control, supersedes what it makes pointless, or refuses it. */
export function createControl(
  before: Mailbox,
  control: NewControl,
  time: DecisionTime,
  written: WriteLog,
): Decision & { readonly result: CreateResult } {
  const refusal = replayOrRefuse(before, control, time)
  if (refusal !== undefined) return { mailbox: before, history: [], result: refusal }

  const draft = new MailboxDraft(before, time, written)
  expireInto(draft)
  const epoch = Math.max(draft.mailbox.epoch, time.epoch)
  const revision = draft.mailbox.revision + 1
  const ttlMs = control.ttlMs ?? (control.action === 'cancel' ? undefined : limits.CONTROL_TTL_MS_DEFAULT)
  const entry: ControlEntry = {
    controlId: control.controlId,
    epoch,
    revision,
    lane: laneOf(control.action),
    action: control.action,
    taskId: control.taskId,
    args: control.args,
    ...(ttlMs === undefined ? {} : { ttlMs, expiresAtServiceMs: time.serviceMs + ttlMs }),
    lanePolicy: isStateVerb(control.action) ? 'latest' : (control.lanePolicy ?? 'queue'),
    delivery: isStateVerb(control.action) ? 'atLeastOnce' : (control.delivery ?? 'atMostOnce'),
    hubBoot: time.hubBoot,
    outcome: { state: 'pending' },
    stamps: { created: draft.stamp(control.operator) },
  }
  if (entry.lanePolicy === 'latest') {
    for (const older of draft.mailbox.open.filter((other) => sameLane(other, entry))) {
      draft.settle(older, { state: 'superseded', byControlId: entry.controlId })
    }
  }
  draft.set({ epoch, revision, open: [...draft.mailbox.open, entry] })
  if (control.idempotency !== undefined) {
    rememberKey(draft, { ...control.idempotency, madeId: entry.controlId })
  }
  draft.logControl('control.created', entry)
  if (isFinished(draft.mailbox, entry.taskId)) {
    draft.settle(entry, {
      state: 'failed',
      code: 'already_finished',
      message: `Task ${entry.taskId} is already finished; there is nothing left to ${entry.action}.`,
    })
  }
  return { ...draft.finish(), result: { kind: 'created', controlId: entry.controlId } }
}

/** A task that an operator asks for. */
export interface NewTaskRequest {
  readonly taskId: string
  readonly kind: string
  readonly input: Json
  readonly operator: string
  readonly idempotency?: { readonly key: string; readonly bodyHash: string }
}

/** What came of asking for a task. */
export type CreateTaskResult =
  | { readonly kind: 'created' | 'replayed'; readonly taskId: string }
  | { readonly kind: 'refused'; readonly code: 'task_exists' | 'mailbox_full' | 'idempotency_conflict' }

/** Assigns a task to the agent; it starts when the agent next syncs. */
export function createTask(
  before: Mailbox,
  task: NewTaskRequest,
  time: DecisionTime,
  written: WriteLog,
): Decision & { readonly result: CreateTaskResult } {
  const known = knownKey(before, task.idempotency)
  if (known === 'conflict') return refuseTask(before, 'idempotency_conflict')
  if (known !== undefined)
    return { mailbox: before, history: [], result: { kind: 'replayed', taskId: known.madeId } }
  if (before.tasks.some((other) => other.taskId === task.taskId)) return refuseTask(before, 'task_exists')
  const unfinished = before.tasks.filter((other) => !isTerminalStatus(other.state))
  const inputBytes = unfinished.reduce((sum, other) => sum + bytesOf(other.input ?? null), 0)
  if (
    unfinished.length >= limits.MAILBOX_TASKS_MAX ||
    inputBytes + bytesOf(task.input) > limits.MAILBOX_INPUT_BYTES_MAX
  ) {
    return refuseTask(before, 'mailbox_full')
  }
  const draft = new MailboxDraft(before, time, written)
  const entry: TaskEntry = {
    taskId: task.taskId,
    kind: task.kind,
    input: task.input,
    state: 'assigned',
    changedAtMs: time.wallMs,
  }
  draft.set({ tasks: [...draft.mailbox.tasks, entry] })
  if (task.idempotency !== undefined) rememberKey(draft, { ...task.idempotency, madeId: task.taskId })
  draft.log('task.created', { taskId: task.taskId }, { kind: task.kind, by: task.operator })
  return { ...draft.finish(), result: { kind: 'created', taskId: task.taskId } }
}

/** Settles what has outlived its time to live. */
export function expireControls(before: Mailbox, time: DecisionTime, written: WriteLog): Decision {
  const draft = new MailboxDraft(before, time, written)
  expireInto(draft)
  return draft.finish()
}

/** Whether {@link expireControls} would change anything; cheap enough to ask of every mailbox. */
export function hasExpired(mailbox: Mailbox, serviceMs: number): boolean {
  return mailbox.open.some((entry) => isExpired(entry, serviceMs))
}

/** Settles, within another decision, what has outlived its time to live. */
export function expireInto(draft: MailboxDraft): void {
  for (const entry of draft.mailbox.open.filter((other) => isExpired(other, draft.time.serviceMs))) {
    draft.settle(entry, { state: 'expired' })
  }
}

/**
 * The controls that the agent should have now, oldest first: of every lane the oldest open one.
 * A queue hands out its next control when the one before is settled, so nothing overtakes.
 */
export function controlsToHandOut(mailbox: Mailbox, serviceMs: number): readonly IssuedControl[] {
  return entriesToHandOut(mailbox, serviceMs).map((entry) => issuedControl(entry, serviceMs))
}

/** The entries of {@link controlsToHandOut}: for who needs few of them in the form that agents get. */
export function entriesToHandOut(mailbox: Mailbox, serviceMs: number): readonly ControlEntry[] {
  const states = new Set<string>()
  const others = new Set<string>()
  return mailbox.open.filter((entry) => {
    const { lane, taskId } = entry
    const isState = lane === 'state'
    // There may be hundreds, most of this lane: no text is made for them.
    const key = isState ? taskId : `${taskId}\0${lane}`
    const lanes = isState ? states : others
    if (lanes.has(key) || isExpired(entry, serviceMs)) return false
    lanes.add(key)
    return true
  })
}

/** What a stream's request named, if anything: its boot, and its journal with, behind a space, how many records that had when the boot opened it. */
export interface NamedByStream {
  readonly bootNonce?: string | undefined
  readonly journal: string | undefined
}

/** The controls to push down a stream of an agent that acknowledges. */
export function controlsToPush(
  mailbox: Mailbox,
  serviceMs: number,
  stream: NamedByStream,
): readonly IssuedControl[] {
  const handedOut = controlsToHandOut(mailbox, serviceMs)
  return takesVerbsOnce(mailbox, stream) ? handedOut : handedOut.filter(isPushedToAny)
}

/** Whether a control may be pushed to an agent that could have lost its journal. */
export function isPushedToAny(control: IssuedControl): boolean {
  return control.delivery !== 'atMostOnce'
}

/**
 * Whether a verb that must not be applied twice may be pushed.
 * An agent that lost its journal says so in its first sync; such a verb waits for that unless the stream already named the
 * journal that the mailbox knows.
 */
export function takesVerbsOnce(mailbox: Mailbox, stream: NamedByStream): boolean {
  const [journalId, openedAt] = stream.journal?.split(' ') ?? []
  const isAsKnown = journalId !== undefined && journalId === mailbox.journalId
  // Once a sync of the same boot has been taken in, that has judged it.
  const isJudged = stream.bootNonce !== undefined && stream.bootNonce === mailbox.boot?.bootNonce
  const mayBeRestored = openedAt !== undefined && Number(openedAt) < (mailbox.journalPosition ?? 0)
  return isAsKnown && (isJudged || !mayBeRestored)
}

/** Whether two controls contend: same task, same lane. */
export function sameLane(a: IssuedControl, b: IssuedControl): boolean {
  return a.taskId === b.taskId && a.lane === b.lane
}

/** The entry in the form that agents get. */
export function issuedControl(entry: ControlEntry, serviceMs: number): IssuedControl {
  const { controlId, epoch, revision, lane, action, taskId, args, delivery } = entry
  const left =
    entry.expiresAtServiceMs === undefined ? {} : { ttlMs: Math.ceil(entry.expiresAtServiceMs - serviceMs) }
  return {
    controlId,
    epoch,
    revision,
    lane,
    action,
    taskId,
    args,
    ...left,
    ...(lane === 'state' ? {} : { delivery }),
  }
}

function replayOrRefuse(mailbox: Mailbox, control: NewControl, time: DecisionTime): CreateResult | undefined {
  // After a compare-and-set whose answer was lost, one's own id in the mailbox means success.
  const own = findControl(mailbox, control.controlId)
  if (own !== undefined) return { kind: 'created', controlId: own.controlId }
  const known = knownKey(mailbox, control.idempotency)
  if (known === 'conflict') return { kind: 'refused', code: 'idempotency_conflict' }
  if (known !== undefined) return { kind: 'replayed', controlId: known.madeId }
  const lane = laneOf(control.action)
  const open = mailbox.open.filter((entry) => !isExpired(entry, time.serviceMs))
  const rivals = open.filter((entry) => entry.taskId === control.taskId && entry.lane === lane)
  const cancel = rivals.find((entry) => entry.action === 'cancel')
  if (cancel !== undefined) return { kind: 'refused', code: 'task_cancelling', controlId: cancel.controlId }
  const joinsQueue = lane !== 'state' && control.lanePolicy !== 'latest'
  if (joinsQueue && rivals.length >= limits.LANE_QUEUE_MAX) return { kind: 'refused', code: 'lane_full' }
  if (open.length - (joinsQueue ? 0 : rivals.length) >= limits.OPEN_CONTROLS_MAX) {
    return { kind: 'refused', code: 'mailbox_full' }
  }
  return undefined
}

function knownKey(
  mailbox: Mailbox,
  wanted: { readonly key: string; readonly bodyHash: string } | undefined,
): IdempotencyEntry | 'conflict' | undefined {
  const entry = wanted && mailbox.idempotency.find((other) => other.key === wanted.key)
  if (entry === undefined || wanted === undefined) return undefined
  return entry.bodyHash === wanted.bodyHash ? entry : 'conflict'
}

/** A batch may open more controls of one agent than the newest keys are: to repeat it must make none of them twice. */
function rememberKey(draft: MailboxDraft, entry: IdempotencyEntry): void {
  const open = new Set(draft.mailbox.open.map((other) => other.controlId))
  const keys = [...draft.mailbox.idempotency, entry]
  const newest = keys.length - limits.IDEMPOTENCY_KEYS_MAX
  draft.set({ idempotency: keys.filter(({ madeId }, index) => index >= newest || open.has(madeId)) })
}

function refuseTask(
  mailbox: Mailbox,
  code: 'task_exists' | 'mailbox_full' | 'idempotency_conflict',
): Decision & { readonly result: CreateTaskResult } {
  return { mailbox, history: [], result: { kind: 'refused', code } }
}

function bytesOf(value: Json): number {
  return Buffer.byteLength(JSON.stringify(value))
}

function isFinished(mailbox: Mailbox, taskId: string): boolean {
  const task = mailbox.tasks.find((other) => other.taskId === taskId)
  return task !== undefined && isTerminalStatus(task.state)
}

function isExpired(entry: ControlEntry, serviceMs: number): boolean {
  return entry.expiresAtServiceMs !== undefined && entry.expiresAtServiceMs <= serviceMs
}
