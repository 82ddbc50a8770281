/** The tasks in the syncs: what is said of them, and letting go of those whose end the hub has. */
import { isTerminalStatus, type Clock, type TaskReport, type TaskStatus } from '@downlink/protocol'
import type { LedgerRecord } from '../controls/ledger-records.ts'
import type { HeldTasks } from './held-tasks.ts'
import { reportTasks, type TaskReports } from './task-reports.ts'

/** What reporting needs. */
export interface TaskReportingOptions {
  readonly tasks: HeldTasks
  readonly clock: Clock
  /** Resolves once the records are on disk. */
  readonly keep: (records: readonly LedgerRecord[]) => Promise<void>
  /** There is more to report. */
  readonly onChange: () => void
}

/** One report at a time. */
export class TaskReporting {
  readonly #options: TaskReportingOptions
  #last: TaskReports | undefined

  constructor(options: TaskReportingOptions) {
    this.#options = options
  }

  /** How many tasks stand in each state. */
  counts(): Record<TaskStatus, number> {
    const counts = { queued: 0, running: 0, paused: 0, cancelled: 0, completed: 0, failed: 0 }
    for (const { status } of this.#options.tasks.all()) counts[status]++
    return counts
  }

  /** How the tasks stand, in about `bytesMax` bytes, with the log lines that are new since the last answered report. */
  prepare(bytesMax: number): readonly TaskReport[] {
    this.#last = reportTasks(this.#options.tasks.all(), bytesMax)
    return this.#last.reports
  }

  /**
   * The hub has taken in the last reports: it has the ends and the log lines in them.
   * @throws DownlinkError `journal_unavailable`; then they are reported again.
   */
  async answered(): Promise<void> {
    if (this.#last === undefined) return
    const { tasks, clock, keep, onChange } = this.#options
    const { taskOf, isCut } = this.#last
    this.#last = undefined
    for (const [report, task] of taskOf) if (report.log !== undefined) task.loggedLines = report.log.nextLine
    const over = [...taskOf].flatMap(([report, task]) => {
      // By now another task may have its id.
      const isSaid = isTerminalStatus(report.status) && task.log.nextLine === task.loggedLines
      return isSaid && tasks.get(task.taskId) === task ? [task] : []
    })
    if (over.length > 0) {
      const wallMs = clock.wallMs()
      await keep(over.map(({ taskId }) => ({ type: 'drop', taskId, wallMs })))
    }
    for (const task of over) tasks.drop(task)
    if (isCut) onChange()
  }
}
