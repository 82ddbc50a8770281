/** The tasks that this agent holds: starts them as there is room, steers them, and says how they stand. */
import {
  DownlinkError,
  isStateVerb,
  limits,
  type Clock,
  type Delivery,
  type Json,
  type TaskReport,
  type TaskStatus,
} from '@downlink/protocol'
import type { IntendedState, LedgerRecord, Outcome, TaskEndRecord } from '../controls/ledger-records.ts'
import type { LedgerTask } from '../controls/ledger-state.ts'
import type { TaskEnd, TaskExecutor, TaskReporter, TaskRun } from './executor.ts'
import { TaskLog } from './task-log.ts'
import { createTrackedRun, type TrackedTask } from './tracked-run.ts'

/** What the runtime needs from the rest of the agent. */
export interface RuntimeOptions {
  readonly executors: ReadonlyMap<string, TaskExecutor>
  readonly concurrency: number
  readonly clock: Clock
  /** What is meant to be true of a task. */
  readonly intendedState: (taskId: string) => IntendedState
  /** Resolves once the records are on disk. */
  readonly keep: (records: readonly LedgerRecord[]) => Promise<void>
  /** Something that a sync should tell has changed. */
  readonly onChange: () => void
  /** The journal could not be written, or a leftover not be ended. */
  readonly onTrouble: (error: unknown, message: string) => void
}

interface HeldTask {
  readonly taskId: string
  readonly kind: string
  readonly input: Json
  readonly tracked: boolean
  readonly log: TaskLog
  status: TaskStatus
  progress: number
  updatedAtMs: number
  loggedLines: number
  message?: string
  run?: TaskRun
  end?: TaskEndRecord
  /** The end is on disk, so it may be reported. */
  endKept?: boolean
}

/** Holds tasks. Created once per agent; `stop` ends every run. */
export class TaskRuntime {
  readonly #options: RuntimeOptions
  readonly #tasks = new Map<string, HeldTask>()
  #stopping = false

  constructor(options: RuntimeOptions) {
    this.#options = options
  }

  /** How many more tasks may start now. */
  get freeSlots(): number {
    const busy = [...this.#tasks.values()].filter((task) => !task.tracked && task.end === undefined)
    return Math.max(0, this.#options.concurrency - busy.length)
  }

  /** Whether one more task may be taken on, to run or to wait. */
  get hasRoom(): boolean {
    return this.#tasks.size < limits.AGENT_TASKS_MAX
  }

  has(taskId: string): boolean {
    return this.#tasks.has(taskId)
  }

  /** How a verb of a task's own behaves in a crash; undefined if there is no such task or verb. */
  deliveryOf(taskId: string, action: string): Delivery | undefined {
    const task = this.#tasks.get(taskId)
    return task && this.#options.executors.get(task.kind)?.deliveryOf(action)
  }

  /**
   * Takes up the tasks of the last life: ends what it left running, then starts each as it was meant to be.
   * Tasks that were tracked before the journal was open learn what is meant of them.
   */
  async restore(tasks: Iterable<LedgerTask>): Promise<void> {
    for (const tracked of this.#tasks.values()) await this.#establish(tracked)
    for (const task of tasks) {
      const held = this.#hold(task, false)
      if (task.end !== undefined) {
        held.end = task.end
        held.endKept = true
        held.status = task.end.status
        continue
      }
      if (task.facts !== undefined) {
        await this.#options.executors
          .get(task.kind)
          ?.reap(task.facts)
          .catch((error: unknown) =>
            this.#options.onTrouble(error, `what task ${task.taskId} left running could not be ended`),
          )
      }
      if (this.#options.intendedState(task.taskId) === 'cancelled') this.#end(held, { status: 'cancelled' })
    }
    this.#startWaiting()
  }

  /** Takes on a task that is in the journal already. */
  add(task: { readonly taskId: string; readonly kind: string; readonly input: Json }): void {
    if (this.#tasks.has(task.taskId)) return
    this.#hold(task, false)
    this.#startWaiting()
    this.#options.onChange()
  }

  /** Takes on a task that the application runs by itself. @throws DownlinkError `task_exists`. */
  track(taskId: string, kind: string): TrackedTask {
    const existing = this.#tasks.get(taskId)
    if (existing !== undefined && existing.end === undefined) {
      throw new DownlinkError(
        'task_exists',
        `Task ${taskId} is held already; end it before tracking it again.`,
      )
    }
    const held = this.#hold({ taskId, kind, input: null }, true)
    const intended = this.#options.intendedState(taskId)
    const { run, tracked } = createTrackedRun(
      { taskId, kind, paused: intended === 'paused' },
      this.#reporter(held),
    )
    this.#begin(held, run, intended === 'paused')
    if (intended === 'cancelled') void run.cancel()
    this.#options.onChange()
    return tracked
  }

  /** Makes the task as the control says. Never rejects: what goes wrong is the outcome. */
  async apply(taskId: string, action: string, args: Json): Promise<Outcome> {
    const task = this.#tasks.get(taskId)
    if (task === undefined) return fail('task_unknown', `This agent holds no task ${taskId}.`)
    if (task.end !== undefined) return this.#applyToEnded(task, action)
    try {
      await this.#steer(task, action, args)
      return { state: 'applied' }
    } catch (error) {
      // It may have ended while it was being told.
      if (task.end !== undefined) return this.#applyToEnded(task, action)
      const message = error instanceof Error ? error.message : String(error)
      return fail(
        error instanceof DownlinkError ? error.code : 'verb_failed',
        message.slice(0, limits.MESSAGE_CHARS_MAX),
      )
    } finally {
      this.#options.onChange()
    }
  }

  /** How the tasks stand, and the log lines that are new since the last report that was answered. */
  reports(): readonly TaskReport[] {
    let logBytes: number = limits.SYNC_LOG_BYTES_MAX
    return [...this.#tasks.values()].map((task): TaskReport => {
      const ended = task.endKept === true ? task.end : undefined
      const hasNewLines = task.log.nextLine > task.loggedLines && logBytes > 0
      const log = hasNewLines ? task.log.tail(Math.min(limits.TASK_LOG_SYNC_BYTES_MAX, logBytes)) : undefined
      if (log !== undefined) logBytes -= JSON.stringify(log.lines).length
      return {
        taskId: task.taskId,
        // An end is said only once it is kept: the hub must not learn what a crash could take back.
        status: task.end !== undefined && ended === undefined ? 'running' : task.status,
        progress: task.progress,
        updatedAt: Math.round(task.updatedAtMs),
        kind: task.kind,
        ...(task.message === undefined ? {} : { message: task.message }),
        ...(ended?.message === undefined ? {} : { errorMessage: ended.message }),
        ...(ended?.result === undefined ? {} : { result: ended.result }),
        ...(log === undefined ? {} : { log }),
      }
    })
  }

  /** The hub has taken in these reports: it has the ends and the log lines in them. */
  async reported(reports: readonly TaskReport[]): Promise<void> {
    const dropped: LedgerRecord[] = []
    for (const report of reports) {
      const task = this.#tasks.get(report.taskId)
      if (task === undefined) continue
      if (report.log !== undefined) task.loggedLines = report.log.nextLine
      const over =
        report.status === 'completed' || report.status === 'failed' || report.status === 'cancelled'
      if (!over || task.end === undefined || task.log.nextLine > task.loggedLines) continue
      this.#tasks.delete(task.taskId)
      dropped.push({ type: 'drop', taskId: task.taskId, wallMs: this.#options.clock.wallMs() })
    }
    if (dropped.length > 0) await this.#options.keep(dropped)
  }

  /** Ends every run as interrupted; resolves when nothing runs any more. */
  async stop(): Promise<void> {
    this.#stopping = true
    const ends = [...this.#tasks.values()].flatMap((task) => task.run?.shutdown() ?? [])
    const giveUp = Promise.withResolvers<void>()
    // A process in an uninterruptible wait cannot be ended; its facts are kept, and the next start ends it.
    const timer = this.#options.clock.setTimer(limits.STOP_MS_MAX, () => giveUp.resolve())
    await Promise.race([Promise.all(ends), giveUp.promise])
    timer.cancel()
  }

  async #establish(task: HeldTask): Promise<void> {
    const intended = this.#options.intendedState(task.taskId)
    if (intended === 'cancelled') await task.run?.cancel()
    else if (intended === 'paused') {
      await task.run?.pause()
      this.#set(task, 'paused')
    }
  }

  async #steer(task: HeldTask, action: string, args: Json): Promise<void> {
    if (!isStateVerb(action)) {
      if (task.run === undefined) {
        throw new DownlinkError(
          'task_not_running',
          `Task ${task.taskId} waits for a free slot; ${action} needs it to run.`,
        )
      }
      await task.run.applyVerb(action, args)
      return
    }
    switch (action) {
      case 'pause':
        await task.run?.pause()
        this.#set(task, 'paused')
        return
      case 'resume':
        await task.run?.resume()
        this.#set(task, task.run === undefined ? 'queued' : 'running')
        this.#startWaiting()
        return
      case 'cancel':
        if (task.run === undefined) this.#end(task, { status: 'cancelled' })
        else await task.run.cancel()
    }
  }

  #applyToEnded(task: HeldTask, action: string): Outcome {
    if (task.end?.status === 'cancelled' && action === 'cancel') return { state: 'applied' }
    return fail(
      'already_finished',
      `Task ${task.taskId} has ended as ${task.end?.status ?? 'unknown'}; ${action} came too late.`,
    )
  }

  #hold(
    task: { readonly taskId: string; readonly kind: string; readonly input: Json },
    tracked: boolean,
  ): HeldTask {
    const held: HeldTask = {
      taskId: task.taskId,
      kind: task.kind,
      input: task.input,
      tracked,
      log: new TaskLog(),
      status: 'queued',
      progress: 0,
      updatedAtMs: this.#options.clock.wallMs(),
      loggedLines: 0,
    }
    this.#tasks.set(task.taskId, held)
    return held
  }

  #startWaiting(): void {
    if (this.#stopping) return
    const own = [...this.#tasks.values()].filter((task) => !task.tracked && task.end === undefined)
    let running = own.filter((task) => task.run !== undefined).length
    for (const task of own) {
      if (task.run !== undefined) continue
      const paused = this.#options.intendedState(task.taskId) === 'paused'
      if (paused) this.#set(task, 'paused')
      // A paused task starts when it is resumed: until then it would hold a slot and do nothing.
      if (paused || running >= this.#options.concurrency) continue
      running++
      this.#start(task)
    }
  }

  #start(task: HeldTask): void {
    const executor = this.#options.executors.get(task.kind)
    if (executor === undefined) {
      const kinds = [...this.#options.executors.keys()].join(', ')
      this.#end(task, {
        status: 'failed',
        code: 'unknown_kind',
        message: `This agent runs no tasks of kind ${task.kind}; its own configuration names: ${kinds === '' ? 'none' : kinds}.`,
      })
      return
    }
    const { taskId, kind, input } = task
    this.#begin(
      task,
      executor.start({ taskId, kind, input, paused: false, reporter: this.#reporter(task) }),
      false,
    )
  }

  #begin(task: HeldTask, run: TaskRun, paused: boolean): void {
    task.run = run
    this.#set(task, paused ? 'paused' : 'running')
    void run.ended.then((end) => this.#onRunEnded(task, end))
  }

  #onRunEnded(task: HeldTask, end: TaskEnd): void {
    // Interrupted means unfinished: it stays in the journal and starts again with the agent.
    if (end.status === 'interrupted') return
    this.#end(task, end)
  }

  #end(task: HeldTask, end: TaskEndRecord): void {
    task.end = end
    delete task.run
    if (end.status === 'completed') task.progress = 1
    this.#set(task, end.status)
    const wallMs = this.#options.clock.wallMs()
    const keep = (): void => {
      this.#options.keep([{ type: 'end', taskId: task.taskId, end, wallMs }]).then(
        () => {
          task.endKept = true
          this.#options.onChange()
        },
        (error: unknown) => {
          this.#options.onTrouble(
            error,
            `the end of task ${task.taskId} could not be kept; it is tried again`,
          )
          this.#options.clock.setTimer(limits.JOURNAL_RETRY_MS, keep)
        },
      )
    }
    keep()
    this.#startWaiting()
  }

  #set(task: HeldTask, status: TaskStatus): void {
    task.status = status
    task.updatedAtMs = this.#options.clock.wallMs()
  }

  #reporter(task: HeldTask): TaskReporter {
    return {
      progress: (fraction, message) => {
        task.progress = Math.min(1, Math.max(0, Number.isFinite(fraction) ? fraction : 0))
        if (message !== undefined) task.message = message.slice(0, limits.MESSAGE_CHARS_MAX)
        task.updatedAtMs = this.#options.clock.wallMs()
      },
      log: (line) => task.log.add(line),
      keepFacts: (facts) => this.#options.keep([{ type: 'facts', taskId: task.taskId, facts }]),
    }
  }
}

function fail(code: string, message: string): Outcome {
  return { state: 'failed', code, message }
}
