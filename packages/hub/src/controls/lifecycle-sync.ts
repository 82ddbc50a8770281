/** What becomes of a mailbox when its agent syncs: outcomes, local decisions, lost journals, observed tasks. Pure. */
import {
  compareRevisions,
  isStateVerb,
  laterRevision,
  limits,
  type DecisionReport,
  type IssuedControl,
  type NewTask,
  type OutcomeReport,
  type Revision,
  type SyncRequest,
  type TaskState,
} from '@downlink/protocol'
import { MailboxDraft, type Decision, type DecisionTime, type WriteLog } from './draft.ts'
import { observeOriginal, originalHandOut } from './lifecycle-original.ts'
import { isClosedByRevocation } from './lifecycle-revoked.ts'
import { observeTasks } from './lifecycle-tasks.ts'
import { controlsToHandOut, expireInto, sameLane } from './lifecycle.ts'
import { findControl, type ControlEntry, type Mailbox, type TaskEntry } from './mailbox.ts'

/** When a sync began, beside the time of deciding: only what was written before it can show in it. */
export interface SyncTime extends DecisionTime {
  readonly beganServiceMs: number
  /** The newest boot has shown no life for `BOOT_GONE_MS`: whichever comes now takes its place. */
  readonly isNewestBootGone?: boolean
}

/** What the agent is told, once the decision is committed. */
export interface SyncAnswer {
  readonly acked: readonly string[]
  readonly controls: readonly IssuedControl[]
  readonly newTasks: readonly NewTask[]
}

/** The outcome of a sync. `clone`: an older boot showed life after a newer one; nothing of it counts. */
export type SyncDecision = Decision & ({ readonly answer: SyncAnswer } | { readonly clone: true })

/** Takes in one sync and says what to answer. */
export function decideSync(
  before: Mailbox,
  request: SyncRequest,
  time: SyncTime,
  written: WriteLog,
): SyncDecision {
  const { boot } = request
  const isEarlier = boot !== undefined && before.earlierBoots.includes(boot.bootNonce)
  if (isEarlier && time.isNewestBootGone !== true) {
    return { mailbox: before, history: [], clone: true }
  }
  const draft = new MailboxDraft(before, time, written)
  const acknowledges = request.journalId !== undefined
  // A sync that was overtaken still settles controls, but shows tasks as they no longer are.
  const overtaken =
    boot !== undefined &&
    before.boot?.bootNonce === boot.bootNonce &&
    boot.connectCounter < before.boot.connectCounter
  expireInto(draft)
  takeInIdentity(draft, request, acknowledges)
  const acked = acknowledges ? takeInReports(draft, request) : []
  if (!overtaken) {
    if (!acknowledges) observeOriginal(draft, request, time.beganServiceMs)
    observeTasks(draft, request, acknowledges)
  }
  const resumed = acknowledges ? undefined : originalHandOut(draft)
  foldCounter(draft, request, before, overtaken)
  const decision = draft.finish()
  const offered = overtaken ? [] : newTasks(decision.mailbox, request, resumed?.taskIds)
  const controls =
    resumed?.controls ??
    decidable(controlsToHandOut(decision.mailbox, time.serviceMs), decision.mailbox, request, offered)
  return { ...decision, answer: { acked, controls, newTasks: offered } }
}

function takeInIdentity(draft: MailboxDraft, request: SyncRequest, acknowledges: boolean): void {
  const { mailbox } = draft
  const { boot } = request
  const isNewBoot = boot !== undefined && mailbox.boot?.bootNonce !== boot.bootNonce
  if (mailbox.acknowledges !== acknowledges) draft.set({ acknowledges })
  if (isNewBoot) {
    // One that takes the place of a newer boot which is gone is no earlier one any more.
    const earlier = mailbox.earlierBoots.filter((nonce) => nonce !== boot.bootNonce)
    if (mailbox.boot !== undefined) earlier.push(mailbox.boot.bootNonce)
    draft.set({ boot, earlierBoots: earlier.slice(-limits.MAILBOX_BOOTS_MAX) })
  }
  const { journalId, journalPosition = 0, journalOpenedAt = journalPosition } = request
  if (journalId === undefined) return
  // An earlier copy that was put back has forgotten, as a new journal has.
  const isRestored = isNewBoot && journalOpenedAt < (mailbox.journalPosition ?? 0)
  if (journalId === mailbox.journalId && !isRestored) return
  if (mailbox.journalId !== undefined) loseJournal(draft)
  draft.set({ journalId, journalPosition })
}

/** The agent no longer knows what it decided: what may have been applied and must not be applied twice, fails. */
function loseJournal(draft: MailboxDraft): void {
  draft.log('agent.journal_lost', {}, {})
  for (const entry of draft.mailbox.open) {
    if (entry.delivery !== 'atMostOnce' || !draft.mayBeWritten(entry)) continue
    draft.settle(entry, {
      state: 'failed',
      code: 'journal_lost',
      message: 'The agent lost its journal after this control was sent; it may or may not have been applied.',
    })
  }
}

function takeInReports(draft: MailboxDraft, request: SyncRequest): string[] {
  for (const controlId of request.received) takeInReceipt(draft, controlId)
  for (const outcome of request.outcomes) takeInOutcome(draft, outcome)
  for (const decision of request.decisions) takeInDecision(draft, decision)
  // Even an id that nobody knows is acknowledged: the agent would otherwise report it for ever.
  return [
    ...request.outcomes.map((outcome) => outcome.controlId),
    ...request.decisions.map((item) => item.decisionId),
  ]
}

function takeInReceipt(draft: MailboxDraft, controlId: string): void {
  const entry = draft.mailbox.open.find((other) => other.controlId === controlId)
  if (entry === undefined || entry.stamps.received !== undefined) return
  draft.replaceOpen({
    ...entry,
    outcome: { state: 'delivered' },
    stamps: { ...entry.stamps, received: draft.stampOfAgent(entry) },
  })
}

function takeInOutcome(draft: MailboxDraft, outcome: OutcomeReport): void {
  const entry = findControl(draft.mailbox, outcome.controlId)
  if (entry === undefined) return
  const isOpen = draft.mailbox.open.includes(entry)
  if (outcome.state === 'stale') {
    if (isOpen) takeInStale(draft, entry, outcome, outcome.highWater, outcome.local)
    return
  }
  const settled =
    outcome.state === 'applied'
      ? ({ state: 'applied', confirmedBy: 'agent' } as const)
      : ({ state: 'failed', code: outcome.code, message: outcome.message } as const)
  if (isOpen) {
    const stamp = draft.stampOfAgent(entry, outcome.agoMs)
    const { received = stamp } = entry.stamps
    const isVerb = !isStateVerb(entry.action)
    draft.settle(entry, settled, {
      // A receipt is stamped when it comes; by what the agent says of the outcome it had the control before that.
      received: received.at < stamp.at ? received : stamp,
      ...(settled.state === 'applied' ? { applied: stamp } : {}),
      // A verb of the application's own shows in no task state: the agent's word is all there is to observe.
      ...(settled.state === 'applied' && isVerb ? { observed: stamp } : {}),
    })
  } else if (isNoLongerHandedOut(entry) && entry.lateOutcome === undefined) {
    const late: ControlEntry = { ...entry, lateOutcome: settled }
    draft.replaceSettled(late)
    draft.logControl('control.late', late)
  }
}

/** Issues the same control again above what the agent has seen, or closes it if the agent decided by itself. */
function takeInStale(
  draft: MailboxDraft,
  entry: ControlEntry,
  refused: Revision,
  highWater: Revision,
  local: boolean,
): void {
  // An answer to an earlier issue of this control says nothing about the present one.
  if (compareRevisions(refused, entry) < 0) return
  if (local) {
    draft.settle(entry, { state: 'superseded', byControlId: 'local' })
    return
  }
  const { epoch, revision } = draft.mailbox
  // A mark above all that this mailbox issued proves a history that was lost: start above it for good.
  const lostHistory = compareRevisions(highWater, { epoch, revision }) > 0
  let last: Revision = {
    epoch: Math.max(epoch, draft.time.epoch, lostHistory ? highWater.epoch + 1 : 0),
    revision: laterRevision(highWater, { epoch, revision }).revision,
  }
  if (entry.delivery === 'atMostOnce' && entry.hubBoot !== draft.time.hubBoot) {
    if (lostHistory) draft.set(last)
    // The agent forgets an id once it is acknowledged. A hub that was restored may have lost that, and would apply it twice.
    draft.settle(entry, {
      state: 'failed',
      code: 'history_lost',
      message: 'The hub was restored from a backup in which this control was open; it may have been applied.',
    })
    return
  }
  // What waits behind it in the same lane must stay behind it.
  const reissued = draft.mailbox.open
    .filter((other) => sameLane(other, entry) && compareRevisions(other, entry) >= 0)
    .map((other): ControlEntry => {
      last = { epoch: last.epoch, revision: last.revision + 1 }
      return { ...other, ...last }
    })
  draft.set({ epoch: last.epoch, revision: last.revision })
  for (const again of reissued) {
    draft.replaceOpen(again)
    draft.logControl('control.reissued', again)
  }
}

function isNoLongerHandedOut(entry: ControlEntry): boolean {
  const { state } = entry.outcome
  return state === 'superseded' || state === 'expired' || isClosedByRevocation(entry)
}

function takeInDecision(draft: MailboxDraft, decision: DecisionReport): void {
  const overruled = draft.mailbox.open.filter(
    (entry) =>
      entry.taskId === decision.taskId &&
      entry.lane === 'state' &&
      compareRevisions(entry, decision.basedOn) <= 0,
  )
  for (const entry of overruled) draft.settle(entry, { state: 'superseded', byControlId: 'local' })
  const { decisionId, taskId, action } = decision
  if (overruled.length > 0) draft.log('task.decided_locally', { taskId }, { decisionId, action })
}

/** A control whose task neither stands in the sync nor goes out with its answer waits: the agent would refuse it as unknown. */
function decidable(
  controls: readonly IssuedControl[],
  mailbox: Mailbox,
  request: SyncRequest,
  offered: readonly NewTask[],
): readonly IssuedControl[] {
  const known = new Set([...request.tasks.map((task) => task.taskId), ...offered.map((task) => task.id)])
  const assigned = new Set(tasksIn(mailbox, 'assigned').map((task) => task.taskId))
  return controls.filter(({ taskId }) => known.has(taskId) || !assigned.has(taskId))
}

function tasksIn(mailbox: Mailbox, state: TaskState): readonly TaskEntry[] {
  return mailbox.tasks.filter((task) => task.state === state)
}

/**
 * Hub-made tasks that the agent does not list yet, as far as it has room; one with an open control goes first and always.
 * @param originalResumed - for an original: the tasks that its resumes need.
 */
function newTasks(
  mailbox: Mailbox,
  request: SyncRequest,
  originalResumed: readonly string[] | undefined,
): readonly NewTask[] {
  const resumed = originalResumed ?? []
  const listed = new Set(request.tasks.map((task) => task.taskId))
  const controlled = new Set(mailbox.open.map((entry) => entry.taskId))
  // An original would start what it has just been told to stop. A task that it once listed comes back by a resume only.
  const held = originalResumed === undefined ? new Set<string>() : controlled
  const wanted = tasksIn(mailbox, 'assigned').filter(
    (task) => !listed.has(task.taskId) && !held.has(task.taskId),
  )
  const urgent = wanted.filter((task) => controlled.has(task.taskId))
  const waiting = wanted.filter((task) => !controlled.has(task.taskId)).slice(0, request.freeSlots)
  const known = new Set([...urgent, ...waiting].map((task) => task.taskId))
  return [
    ...resumed
      .filter((taskId) => !known.has(taskId))
      .map((id): NewTask => {
        const task = mailbox.tasks.find((other) => other.taskId === id)
        return task === undefined ? { id } : { id, kind: task.kind, input: task.input ?? null }
      }),
    ...[...urgent, ...waiting].map((task): NewTask => ({
      id: task.taskId,
      kind: task.kind,
      input: task.input ?? null,
    })),
  ].slice(0, limits.NEW_TASKS_PER_SYNC_MAX)
}

/** Keeps the newest counter and position with whatever else is committed; by themselves they are not worth a commit. */
function foldCounter(draft: MailboxDraft, request: SyncRequest, before: Mailbox, overtaken: boolean): void {
  if (overtaken || draft.mailbox === before) return
  const { boot, journalPosition } = request
  if (boot !== undefined) draft.set({ boot })
  if (journalPosition !== undefined) draft.set({ journalPosition })
}
