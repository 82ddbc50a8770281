/** What the tasks in a sync show: which controls are observed, which tasks have changed. Pure. */
import {
  isStateVerb,
  isTerminalStatus,
  limits,
  type StateVerb,
  type SyncRequest,
  type TaskReport,
  type TaskState,
} from '@downlink/protocol'
import type { MailboxDraft } from './draft.ts'
import { sameLane } from './lifecycle.ts'
import type { ControlEntry, TaskEntry } from './mailbox.ts'

/** Syncs in a row in which an original must not list a task before that means anything: one that has just started may list nothing. */
export const MISSING_SYNCS = 2

/** Stamps controls as observed and moves hub-made tasks to the state that the agent reports. */
export function observeTasks(draft: MailboxDraft, request: SyncRequest, acknowledges: boolean): void {
  const reports = new Map(request.tasks.map((task) => [task.taskId, task]))
  for (const entry of draft.mailbox.settled) {
    if (entry.outcome.state !== 'applied' || !isStateVerb(entry.action)) continue
    const report = reports.get(entry.taskId)
    if (entry.stamps.observed !== undefined) {
      if (entry.action === 'cancel' && entry.diverged === undefined && contradictsCancel(report)) {
        const diverged: ControlEntry = { ...entry, diverged: true }
        draft.replaceSettled(diverged)
        draft.logControl('control.diverged', diverged)
      }
    } else if (report !== undefined && entry.action === 'cancel' && endedOtherwise(report.status)) {
      // Once the agent has let go of the task, its absence would look like the end that the cancel wanted.
      if (entry.endedOtherwise === undefined) {
        const ended: ControlEntry = { ...entry, endedOtherwise: true }
        draft.replaceSettled(ended)
        draft.logControl('control.ended_otherwise', ended)
      }
    } else if (entry.endedOtherwise === undefined && isNewestOfItsLane(draft, entry)) {
      if (shows(entry.action, report, acknowledges)) observe(draft, entry)
    }
  }
  for (const task of draft.mailbox.tasks) {
    const report = reports.get(task.taskId)
    const missingSyncs = report === undefined && !acknowledges ? (task.missingSyncs ?? 0) + 1 : 0
    const next =
      report === undefined
        ? stateWhenMissing(draft, task, acknowledges, missingSyncs)
        : stateReported(task, report)
    if (next === task.state) {
      if (isAtWork(task.state)) countMissing(draft, task, missingSyncs)
      continue
    }
    draft.replaceTask(withState(task, next, report, draft.time.wallMs))
  }
  dropOldFinishedTasks(draft)
}

/** Whether an original or one of ours says that the task is at work or standing still, not over. */
export function isActive(status: string): boolean {
  return status !== '' && !isTerminalStatus(status)
}

/** Stamps a settled control as observed by the agent's own report. */
export function observe(draft: MailboxDraft, entry: ControlEntry): void {
  const observed: ControlEntry = {
    ...entry,
    stamps: { ...entry.stamps, observed: draft.stampOfAgent(entry) },
  }
  draft.replaceSettled(observed)
  draft.logControl('control.observed', observed)
}

function endedOtherwise(status: string): boolean {
  return isTerminalStatus(status) && status !== 'cancelled'
}

function contradictsCancel(report: TaskReport | undefined): boolean {
  return report !== undefined && (isActive(report.status) || endedOtherwise(report.status))
}

function shows(verb: StateVerb, report: TaskReport | undefined, acknowledges: boolean): boolean {
  if (report === undefined) {
    // One of ours lists a task until the hub has seen its end, so absence after an applied cancel is that end.
    return acknowledges && verb === 'cancel'
  }
  switch (verb) {
    case 'cancel':
      return report.status === 'cancelled'
    case 'pause':
      return report.status === 'paused'
    case 'resume':
      return report.status === 'running' || report.status === 'queued' || report.status === 'completed'
  }
}

function isNewestOfItsLane(draft: MailboxDraft, entry: ControlEntry): boolean {
  const { open, settled } = draft.mailbox
  // A refused or superseded control changed nothing, so it does not hide the one that was applied before it.
  return (
    !open.some((other) => sameLane(other, entry)) &&
    settled.findLast((other) => sameLane(other, entry) && other.outcome.state === 'applied') === entry
  )
}

function stateReported(task: TaskEntry, report: TaskReport): TaskState {
  const { status } = report
  // `completed` and `failed` are ends that nothing takes back; a cancel may turn out not to have been one.
  if (task.state === 'completed' || task.state === 'failed') return task.state
  switch (status) {
    case '':
      return task.state === 'assigned' ? 'queued' : task.state
    case 'queued':
    case 'paused':
    case 'cancelled':
    case 'completed':
    case 'failed':
      return status
    case 'error':
      return 'failed'
    default:
      return 'running'
  }
}

function isAtWork(state: TaskState): boolean {
  return state === 'queued' || state === 'running' || state === 'paused'
}

function countMissing(draft: MailboxDraft, task: TaskEntry, missingSyncs: number): void {
  if (missingSyncs === (task.missingSyncs ?? 0)) return
  draft.set({
    tasks: draft.mailbox.tasks.map((other) => (other === task ? { ...task, missingSyncs } : other)),
  })
}

function stateWhenMissing(
  draft: MailboxDraft,
  task: TaskEntry,
  acknowledges: boolean,
  missingSyncs: number,
): TaskState {
  if (!isAtWork(task.state)) return task.state
  // Its last report was lost, or its user removed it: nothing will ever say more. Only a cancel's own settling shows `cancelled`.
  if (!acknowledges) return missingSyncs < MISSING_SYNCS ? task.state : 'gone'
  const cancelled = draft.mailbox.settled.some(
    (entry) =>
      entry.taskId === task.taskId && entry.action === 'cancel' && entry.stamps.observed !== undefined,
  )
  // One of ours that no longer lists it never started it for good, or lost its state: hand it out again.
  return cancelled ? 'cancelled' : 'assigned'
}

function withState(
  task: TaskEntry,
  state: TaskState,
  report: TaskReport | undefined,
  wallMs: number,
): TaskEntry {
  const over = isTerminalStatus(state)
  const { input, missingSyncs: _, ...rest } = task
  return {
    ...rest,
    ...(over || input === undefined ? {} : { input }),
    state,
    changedAtMs: wallMs,
    ...(report?.errorMessage === undefined ? {} : { errorMessage: report.errorMessage }),
    ...(report?.errorCode === undefined ? {} : { errorCode: report.errorCode }),
    ...(report?.result === undefined ? {} : { result: report.result }),
  }
}

function dropOldFinishedTasks(draft: MailboxDraft): void {
  const over = draft.mailbox.tasks.filter((task) => isTerminalStatus(task.state) || task.state === 'gone')
  if (over.length <= limits.FINISHED_TASKS_MAX) return
  // A task that an original paused is gone and may be resumed, for which its input is needed: it goes last.
  const isGone = (task: TaskEntry): number => (task.state === 'gone' ? 1 : 0)
  const oldestFirst = over.toSorted((a, b) => isGone(a) - isGone(b) || a.changedAtMs - b.changedAtMs)
  const dropped = new Set(
    oldestFirst.slice(0, over.length - limits.FINISHED_TASKS_MAX).map((task) => task.taskId),
  )
  draft.set({ tasks: draft.mailbox.tasks.filter((task) => !dropped.has(task.taskId)) })
}
