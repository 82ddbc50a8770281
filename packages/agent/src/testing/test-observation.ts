/** What the tasks in a sync show to a test hub: which controls are observed, which tasks have changed. */
import { isStateVerb, type SyncRequest } from '@downlink/protocol'
import { endedOtherwise, sameLane, shows, stateReported, type Entry, type TaskEntry } from './test-control.ts'

/** Takes in the tasks of a sync. */
export function observe(
  { tasks: listed }: SyncRequest,
  open: readonly Entry[],
  settled: readonly Entry[],
  tasks: Map<string, TaskEntry>,
): void {
  const reports = new Map(listed.map((report) => [report.taskId, report]))
  for (const entry of settled) {
    if (entry.outcome.state !== 'applied' || !isStateVerb(entry.action)) continue
    const status = reports.get(entry.taskId)?.status
    const isCancel = entry.action === 'cancel'
    if (entry.isObserved) {
      if (isCancel && status !== undefined && status !== 'cancelled' && status !== '') {
        entry.hasDiverged = true
      }
    } else if (isCancel && status !== undefined && endedOtherwise(status)) entry.endedOtherwise = true
    else if (!entry.endedOtherwise && isNewest(entry, open, settled)) {
      entry.isObserved = shows(entry.action, status)
    }
  }
  for (const task of tasks.values()) {
    const report = reports.get(task.taskId)
    if (report === undefined) missed(task, settled)
    else {
      task.state = stateReported(task.state, report.status)
      task.report = report
      if (report.kind !== undefined) task.kind = report.kind
    }
  }
  for (const report of listed) {
    if (tasks.has(report.taskId)) continue
    const state = stateReported('queued', report.status)
    const kind = report.kind === undefined ? {} : { kind: report.kind }
    tasks.set(report.taskId, { taskId: report.taskId, isHubMade: false, state, report, ...kind })
  }
}

/** A refused or superseded control changed nothing, so it does not hide the one that was applied before it. */
function isNewest(entry: Entry, open: readonly Entry[], settled: readonly Entry[]): boolean {
  const isApplied = (other: Entry): boolean => sameLane(other, entry) && other.outcome.state === 'applied'
  return !open.some((other) => sameLane(other, entry)) && settled.findLast(isApplied) === entry
}

function missed(task: TaskEntry, settled: readonly Entry[]): void {
  if (task.state !== 'queued' && task.state !== 'running' && task.state !== 'paused') return
  const isCancelled = settled.some(
    (entry) => entry.taskId === task.taskId && entry.action === 'cancel' && entry.isObserved,
  )
  // An agent that no longer lists a task never started it for good, or lost its state: it is handed out again.
  if (isCancelled) task.state = 'cancelled'
  else task.state = task.isHubMade ? 'assigned' : 'gone'
}
