/** Controls of an original agent, which acknowledges nothing: settled by what its syncs show. Pure. */
import {
  controlToJson,
  isTerminalStatus,
  limits,
  type IssuedControl,
  type SyncRequest,
} from '@downlink/protocol'
import type { MailboxDraft } from './draft.ts'
import { isActive, MISSING_SYNCS } from './lifecycle-tasks.ts'
import { controlsToHandOut } from './lifecycle.ts'
import type { ControlEntry } from './mailbox.ts'

/** Settles what the sync shows to have happened. */
export function observeOriginal(draft: MailboxDraft, request: SyncRequest, beganServiceMs: number): void {
  const statuses = new Map(request.tasks.map((task) => [task.taskId, task.status]))
  for (const open of draft.mailbox.open) {
    const status = statuses.get(open.taskId)
    const entry = withReportedEnd(draft, open, status)
    const write = draft.writeOf(entry)
    if (entry.endedOtherwise === true && entry.action !== 'cancel' && entry.action !== 'pause') {
      // Handing out a resume, with its task in `newTasks`, would run what is finished once more.
      finishedBefore(draft, entry)
      continue
    }
    // A sync that began in the very millisecond of the write may have begun before it.
    if (write === undefined || beganServiceMs <= write.firstServiceMs) {
      // Whatever the hub counted in an earlier life, the row of absences is broken.
      if (status !== undefined && !isTerminalStatus(status)) resetMissing(draft, entry)
      continue
    }
    if (entry.action === 'resume') {
      if (status !== undefined && status !== 'paused' && isActive(status)) confirm(draft, entry)
    } else if (entry.action === 'cancel' || entry.action === 'pause') {
      observeEnd(draft, entry, status)
    }
  }
}

/** What an original is handed in this sync, and the tasks that its resumes need in `newTasks`. */
export function originalHandOut(draft: MailboxDraft): {
  readonly controls: readonly IssuedControl[]
  readonly taskIds: readonly string[]
} {
  const { serviceMs } = draft.time
  const controls: IssuedControl[] = []
  const taskIds: string[] = []
  let verbChars = 0
  for (const control of controlsToHandOut(draft.mailbox, serviceMs)) {
    const entry = draft.mailbox.open.find((other) => other.controlId === control.controlId)
    if (entry === undefined) continue
    if (control.action === 'resume') {
      // Its handler only triggers another sync: listing it in each of them would never end.
      const last = draft.writeOf(entry)?.lastServiceMs
      if (last !== undefined && serviceMs - last < limits.ORIGINAL_RESUME_MS) continue
      if (taskIds.length >= limits.NEW_TASKS_PER_SYNC_MAX) continue
      taskIds.push(control.taskId)
    } else if (control.lane !== 'state') {
      // What did not fit in the reply would be lost for good: the rest waits for the next sync.
      verbChars += JSON.stringify(controlToJson(control)).length
      if (verbChars > limits.ORIGINAL_VERBS_CHARS_MAX) continue
      // Nobody will ever confirm it, and handing it out twice could apply it twice: this once is all.
      draft.settle(entry, { state: 'delivered' }, { written: draft.stamp('hub') }, { unconfirmed: true })
    }
    controls.push(control)
  }
  return { controls, taskIds }
}

function observeEnd(draft: MailboxDraft, entry: ControlEntry, status: string | undefined): void {
  const missing = status === undefined || isTerminalStatus(status)
  const missingSyncs = missing ? (entry.missingSyncs ?? 0) + 1 : 0
  if (missingSyncs < MISSING_SYNCS) {
    if (missingSyncs !== (entry.missingSyncs ?? 0)) draft.replaceOpen({ ...entry, missingSyncs })
    return
  }
  if (entry.endedOtherwise === true) return finishedBefore(draft, entry)
  const task = draft.mailbox.tasks.find((other) => other.taskId === entry.taskId)
  if (task !== undefined && !isTerminalStatus(task.state)) {
    const state = entry.action === 'cancel' ? 'cancelled' : 'gone'
    draft.replaceTask({ ...task, state, changedAtMs: draft.time.wallMs })
  }
  confirm(draft, entry)
}

/** Notes an end that is no cancel: an original reports it once, and the absence after it is no control's effect. */
function withReportedEnd(draft: MailboxDraft, entry: ControlEntry, status: string | undefined): ControlEntry {
  const endedOtherwise = status !== undefined && isTerminalStatus(status) && status !== 'cancelled'
  if (status === undefined || endedOtherwise === (entry.endedOtherwise ?? false)) return entry
  const { endedOtherwise: _, ...rest } = entry
  const noted: ControlEntry = endedOtherwise ? { ...rest, endedOtherwise } : rest
  draft.replaceOpen(noted)
  return noted
}

function finishedBefore(draft: MailboxDraft, entry: ControlEntry): void {
  draft.settle(entry, {
    state: 'failed',
    code: 'already_finished',
    message: `Task ${entry.taskId} ended by itself before ${entry.action} could take effect.`,
  })
}

function resetMissing(draft: MailboxDraft, entry: ControlEntry): void {
  if (entry.missingSyncs !== undefined && entry.missingSyncs > 0)
    draft.replaceOpen({ ...entry, missingSyncs: 0 })
}

function confirm(draft: MailboxDraft, entry: ControlEntry): void {
  const stamp = draft.stampOfAgent(entry)
  draft.settle(entry, { state: 'applied', confirmedBy: 'observation' }, { applied: stamp, observed: stamp })
}
