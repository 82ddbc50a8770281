/** What a sync says of the tasks, within a bound: every task is in it, and of the rest as much as fits. */
import { limits, type TaskLogTail, type TaskReport } from '@downlink/protocol'
import type { HeldTask } from './held-task.ts'

/** The reports of one sync. */
export interface TaskReports {
  readonly reports: readonly TaskReport[]
  /** Which task each of them is about; another one may have its id by the time the sync is answered. */
  readonly taskOf: ReadonlyMap<TaskReport, HeldTask>
  /** An end or the last lines of an ended task did not fit and need another sync. */
  readonly isCut: boolean
}

type Draft = { -readonly [K in keyof TaskReport]: TaskReport[K] }

/** Reports in at most about `bytesMax` bytes of JSON; ends go before messages, those before logs. */
export function reportTasks(tasks: Iterable<HeldTask>, bytesMax: number): TaskReports {
  const entries = [...tasks].map((task) => ({ task, report: liveReport(task) }))
  let leftBytes = bytesMax - entries.reduce((sum, { report }) => sum + jsonBytes(report), 0)
  let isCut = false
  const takes = (bytes: number): boolean => {
    if (bytes > leftBytes) return false
    leftBytes -= bytes
    return true
  }
  const add = (report: Draft, more: Partial<TaskReport>): boolean => {
    const fits = takes(jsonBytes(more))
    if (fits) Object.assign(report, more)
    return fits
  }
  // An end is said only once it is kept: the hub must not learn what a crash could take back.
  const ended = entries.filter(({ task }) => task.endKept)
  for (const { task, report } of ended) if (!add(report, endOf(task))) isCut = true
  for (const { task, report } of entries) {
    if (task.message !== undefined) add(report, { message: task.message })
  }
  leftBytes = Math.min(leftBytes, limits.SYNC_LOG_BYTES_MAX)
  // Those of ended tasks first: the task is held until they have gone out.
  for (const { task, report } of [...ended, ...entries.filter(({ task }) => !task.endKept)]) {
    if (task.log.nextLine === task.loggedLines) continue
    const log: TaskLogTail = task.log.tail(Math.min(limits.TASK_LOG_SYNC_BYTES_MAX, leftBytes))
    if (log.lines.length > 0 && takes(jsonBytes(log))) report.log = log
    else if (task.endKept) isCut = true
  }
  return {
    reports: entries.map(({ report }) => report),
    taskOf: new Map(entries.map(({ task, report }) => [report, task])),
    isCut,
  }
}

function liveReport(task: HeldTask): Draft {
  return {
    taskId: task.taskId,
    status: task.end === undefined ? task.status : 'running',
    progress: task.progress,
    updatedAt: Math.round(task.updatedAtMs),
    kind: task.kind,
    ...(task.isUnresponsive && task.end === undefined ? { unresponsive: true } : {}),
  }
}

function endOf({ end, status }: HeldTask): Partial<TaskReport> {
  return {
    status,
    ...(end?.message === undefined ? {} : { errorMessage: end.message }),
    ...(end?.code === undefined ? {} : { errorCode: end.code }),
    ...(end?.result === undefined ? {} : { result: end.result }),
  }
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}
