/** Runs of tasks from their start to their end on disk. */
import { DownlinkError, limits, type Clock, type TaskStatus } from '@downlink/protocol'
import type { LedgerRecord, TaskEndRecord } from '../controls/ledger-records.ts'
import type { PatientJournal } from '../controls/patient-journal.ts'
import type { TaskEnd, TaskReporter, TaskRun } from './executor.ts'
import type { Executors } from './executors.ts'
import { failed } from './handler-run.ts'
import { reporterOf, type HeldTask } from './held-task.ts'
import { RunWatch } from './run-watch.ts'
import { TimedOutError } from './task.ts'

/** What runs need. */
export interface TaskRunsOptions {
  readonly executors: Executors
  readonly clock: Clock
  readonly patientJournal: PatientJournal
  /** Something that a sync should tell has changed. */
  readonly onChange: () => void
  /** A task is over, so that another may start. */
  readonly onEnd: () => void
  readonly onTrouble: (error: unknown, message: string) => void
}

/** Starts tasks and sees them end. */
export class TaskRuns {
  readonly #options: TaskRunsOptions
  /** Runs, ends on their way to the disk, and leftovers on their way out. */
  readonly #pending = new Set<Promise<unknown>>()

  constructor(options: TaskRunsOptions) {
    this.#options = options
  }

  /** Starts the task by its kind; one that cannot start has ended. */
  start(task: HeldTask): void {
    try {
      this.begin(task, this.#options.executors.start(task, this.reporter(task)))
    } catch (error) {
      this.end(task, failed(error))
    }
  }

  /** Takes over a run of the task. */
  begin(task: HeldTask, run: TaskRun): void {
    const { clock, executors } = this.#options
    task.run = run
    task.watch = new RunWatch({
      clock,
      limitMs: task.tracked ? undefined : executors.timeLimitMs(task.kind),
      onTimeUp: () => this.#onTimeUp(task),
      onUnresponsive: () => this.#onUnresponsive(task),
    })
    this.set(task, 'running')
    this.pend(
      run.ended.then(
        (end) => this.#onRunEnded(task, end),
        (error: unknown) => this.end(task, failed(error)),
      ),
    )
  }

  /** The task is over; it is said once that is on disk. */
  end(task: HeldTask, end: TaskEndRecord): void {
    task.end = end
    task.watch?.over()
    delete task.run
    task.isUnresponsive = false
    if (end.status === 'completed') task.progress = 1
    this.set(task, end.status)
    this.pend(this.#keepEnd(task, end))
    this.#options.onEnd()
  }

  set(task: HeldTask, status: TaskStatus): void {
    if (task.status === status) return
    task.status = status
    task.updatedAtMs = this.#options.clock.wallMs()
    this.#options.onChange()
  }

  reporter(task: HeldTask): TaskReporter {
    const { clock, patientJournal } = this.#options
    return reporterOf(task, clock, async (facts) => {
      // It was taken on, so a disk that is full for a while must not make it fail.
      const record: LedgerRecord = { type: 'facts', taskId: task.taskId, facts }
      if (await patientJournal.keep([record], `the start of task ${task.taskId}`)) return
      throw new DownlinkError('journal_unavailable', 'The agent stops, so the task has not begun.')
    })
  }

  /** Something else that a stop waits for; it must not reject. */
  pend(work: Promise<unknown>): void {
    const pending = work.finally(() => this.#pending.delete(pending))
    this.#pending.add(pending)
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.allSettled(this.#pending)
  }

  #onTimeUp(task: HeldTask): void {
    task.isTimedOut = true
    task.watch?.toldToEnd()
    task.run?.cancel(new TimedOutError()).catch((error: unknown) => {
      this.#options.onTrouble(
        error,
        `task ${task.taskId} has run out of its time and could not be told to end`,
      )
    })
  }

  #onUnresponsive(task: HeldTask): void {
    const { onChange, onTrouble } = this.#options
    task.isUnresponsive = true
    onTrouble(
      undefined,
      `task ${task.taskId} was told to end ${limits.UNRESPONSIVE_MS} ms ago and still runs; its handler must heed task.signal`,
    )
    onChange()
  }

  #onRunEnded(task: HeldTask, end: TaskEnd): void {
    delete task.run
    task.watch?.over()
    if (end.status === 'cancelled' && task.isTimedOut) this.end(task, this.#timedOut(task))
    else if (end.status !== 'interrupted') this.end(task, end)
    // Unfinished: it stays in the journal and starts again with the agent.
    else if (task.status === 'running') this.set(task, 'queued')
  }

  #timedOut({ kind }: HeldTask): TaskEndRecord {
    const limitMs = this.#options.executors.timeLimitMs(kind) ?? 0
    const message = `The task ran longer than its time limit of ${limitMs} ms and was ended.`
    return { status: 'failed', code: 'timed_out', message }
  }

  async #keepEnd(task: HeldTask, end: TaskEndRecord): Promise<void> {
    const { clock, patientJournal, onChange } = this.#options
    const record: LedgerRecord = { type: 'end', taskId: task.taskId, end, wallMs: clock.wallMs() }
    task.endKept = await patientJournal.keep([record], `the end of task ${task.taskId}`)
    if (task.endKept) onChange()
  }
}
