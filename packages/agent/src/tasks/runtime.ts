/** The tasks that this agent holds: starts them as there is room, steers them, and says how they stand. */
import {
  isStateVerb,
  isTaskId,
  limits,
  type Clock,
  type Delivery,
  type Json,
  type TaskStatus,
} from '@downlink/protocol'
import type { IntendedState, LedgerRecord, Outcome, TaskEndRecord } from '../controls/ledger-records.ts'
import type { LedgerTask } from '../controls/ledger-state.ts'
import type { PatientJournal } from '../controls/patient-journal.ts'
import { failureOf } from '../failure.ts'
import { waitAtMost } from '../wait-at-most.ts'
import type { TaskEnd, TaskExecutor, TaskReporter, TaskRun } from './executor.ts'
import { Executors } from './executors.ts'
import { failed } from './handler-run.ts'
import {
  answerOf,
  answerOfEnded,
  createHeldTask,
  fail,
  isBusy,
  reporterOf,
  type HeldTask,
  type TaskFacts,
} from './held-task.ts'
import { HeldTasks } from './held-tasks.ts'
import { steer } from './steering.ts'
import { TaskReporting } from './task-reporting.ts'
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
  /** Keeps what has happened already. */
  readonly patientJournal: PatientJournal
  /** Something that a sync should tell has changed. */
  readonly onChange: () => void
  /** Something went wrong that no outcome tells. */
  readonly onTrouble: (error: unknown, message: string) => void
}

/** Holds tasks. Created once per agent; `stop` ends every run. */
export class TaskRuntime {
  /** What syncs say of the tasks. */
  readonly reporting: TaskReporting
  readonly #options: RuntimeOptions
  readonly #executors: Executors
  readonly #tasks = new HeldTasks()
  /** Ends on their way to the disk, and leftovers on their way out. */
  readonly #pending = new Set<Promise<unknown>>()
  #stopping = false

  constructor(options: RuntimeOptions) {
    this.#options = options
    this.#executors = new Executors(options.executors)
    this.reporting = new TaskReporting({ ...options, tasks: this.#tasks })
  }

  /** How many more tasks may start now. */
  get freeSlots(): number {
    if (this.#stopping) return 0
    return Math.max(0, this.#options.concurrency - this.#tasks.all().filter(isBusy).length)
  }

  /** How many more tasks may be taken on, to run or to wait. */
  get room(): number {
    return this.#stopping ? 0 : Math.max(0, limits.AGENT_TASKS_MAX - this.#tasks.size)
  }

  /** Whether a hub may give this agent tasks to run. */
  get takesTasks(): boolean {
    return !this.#executors.isEmpty
  }

  has(taskId: string): boolean {
    return this.#tasks.get(taskId) !== undefined
  }

  /** Also of one of the last `DROPPED_TASKS_MAX` that are over. */
  hasHeld(taskId: string): boolean {
    return this.#tasks.hasHeld(taskId)
  }

  /** How a verb of a task's own behaves in a crash; undefined if there is no such task or verb. */
  deliveryOf(taskId: string, action: string): Delivery | undefined {
    const task = this.#tasks.get(taskId)
    return task && this.#executors.deliveryOf(task.kind, action)
  }

  /**
   * Takes up the tasks of the last life, each as it was meant to be. One of which something may still run starts when
   * that has ended. Tasks that were tracked before the journal was open learn what is meant of them.
   */
  restore(tasks: Iterable<LedgerTask>): void {
    for (const tracked of this.#tasks.all()) this.#establish(tracked)
    for (const task of tasks) {
      // An id that the application tracks is its own now; the end of that will end this one, too.
      const held = this.#tasks.get(task.taskId) ?? this.#hold(task, false)
      if (held.tracked) continue
      if (task.end !== undefined) {
        held.end = task.end
        held.endKept = true
        held.status = task.end.status
      } else if (task.facts !== undefined) this.#pend(this.#reap(held, task.facts))
    }
    this.#startWaiting()
  }

  /**
   * Takes on a task that is in the journal already.
   * @param isHeldBack - it does not start before a state verb was applied to it, or {@link TaskRuntime.release}.
   */
  add(task: TaskFacts, isHeldBack = false): void {
    if (this.has(task.taskId)) return
    this.#hold(task, false).isHeldBack = isHeldBack
    this.#startWaiting()
    this.#options.onChange()
  }

  /** Lets tasks start for which the control has not come that they were held back for. */
  release(): void {
    for (const task of this.#tasks.all()) task.isHeldBack = false
    this.#startWaiting()
  }

  /**
   * Takes on a task that the application runs by itself. After a cancel it begins as cancelled, until the hub has seen
   * the end of the one that was.
   * @throws DownlinkError `task_exists`, or `too_many_tasks` past `AGENT_TASKS_MAX`. @throws TypeError for a bad id.
   */
  track(taskId: string, kind: string): TrackedTask {
    if (!isTaskId(taskId)) {
      throw new TypeError('A task id is 1 to 128 printable ASCII characters without space.')
    }
    this.#tasks.requireRoomFor(taskId)
    const held = this.#hold({ taskId, kind, input: null }, true)
    const { run, tracked } = createTrackedRun({ taskId, kind }, this.#reporter(held))
    this.#begin(held, run)
    this.#establish(held)
    if (this.#stopping) void run.shutdown()
    return tracked
  }

  /** The outcome of a control that nobody has to be told of, or undefined if the task has to be. */
  answerAtOnce(taskId: string, action: string): Outcome | undefined {
    return this.#tasks.answer(taskId, action)
  }

  /** Makes the task as the control says. Never rejects: what goes wrong is the outcome. */
  async apply(taskId: string, action: string, args: Json): Promise<Outcome> {
    const task = this.#tasks.get(taskId)
    const answer = this.#tasks.answer(taskId, action)
    if (task === undefined || answer !== undefined) return answer ?? fail('task_unknown', taskId)
    try {
      await steer(task, action, args)
    } catch (error) {
      // It may have ended while it was being told.
      return answerOf(task, action) ?? { state: 'failed', ...failureOf(error, 'verb_failed') }
    }
    if (!isStateVerb(action)) return { state: 'applied' }
    if (task.end !== undefined) return answerOfEnded(taskId, task.end.status, action)
    task.isHeldBack = false
    this.#settle(task)
    this.#startWaiting()
    return { state: 'applied' }
  }

  /** Ends every run as interrupted; resolves when nothing runs any more and every end is kept, or after `STOP_MS_MAX`. */
  async stop(): Promise<void> {
    this.#stopping = true
    const runs = this.#tasks.all().flatMap((task) => task.run?.shutdown() ?? [])
    const settle = async (): Promise<void> => {
      await Promise.allSettled(runs)
      while (this.#pending.size > 0) await Promise.allSettled(this.#pending)
    }
    // A process in an uninterruptible wait cannot be ended; its facts are kept, and the next start ends it.
    const isOver = await waitAtMost(this.#options.clock, limits.STOP_MS_MAX, settle())
    if (isOver) return
    const left = this.#tasks.all().filter((task) => task.run !== undefined || task.isReaping)
    this.#options.onTrouble(
      undefined,
      `${left.length} tasks did not end within ${limits.STOP_MS_MAX} ms of the stop and are left: ${left
        .slice(0, 5)
        .map(({ taskId }) => taskId)
        .join(', ')}`,
    )
  }

  /** Tells a tracked task what is meant of it. */
  #establish(task: HeldTask): void {
    if (task.end !== undefined) return
    task.wanted = this.#options.intendedState(task.taskId)
    if (task.wanted === 'cancelled') void task.run?.cancel()
    else if (task.wanted === 'paused') void task.run?.pause()
    this.#settle(task)
  }

  /** Shows what the task was told to be; its run says itself when it has ended. */
  #settle(task: HeldTask): void {
    if (task.end !== undefined) return
    if (task.wanted === 'paused') this.#set(task, 'paused')
    else if (task.run !== undefined) this.#set(task, 'running')
    else if (task.wanted === 'running' || task.isReaping) this.#set(task, 'queued')
    else this.#end(task, { status: 'cancelled' })
  }

  async #reap(task: HeldTask, facts: Json): Promise<void> {
    task.isReaping = true
    try {
      await this.#executors.reap(task.kind, facts)
      task.isReaping = false
    } catch (error) {
      task.isReaping = false
      this.#options.onTrouble(error, `what task ${task.taskId} left running could not be ended`)
      this.#end(task, {
        status: 'failed',
        code: 'leftover_running',
        message: 'What an earlier start of the agent left running of this task could not be ended.',
      })
    }
    this.#startWaiting()
  }

  #hold(task: TaskFacts, tracked: boolean): HeldTask {
    const { clock, intendedState } = this.#options
    return this.#tasks.hold(createHeldTask(task, tracked, intendedState(task.taskId), clock))
  }

  #startWaiting(): void {
    if (this.#stopping) return
    const waiting = this.#tasks.all().filter((task) => !task.tracked && task.run === undefined)
    for (const task of waiting) this.#settle(task)
    for (const task of waiting) {
      // A paused task starts when it is resumed: until then it would hold a slot and do nothing.
      if (task.status !== 'queued' || task.isReaping || task.isHeldBack) continue
      // Counted anew: a start that fails at once starts the next by itself.
      const running = this.#tasks.all().filter((other) => !other.tracked && other.run !== undefined)
      if (running.length >= this.#options.concurrency) return
      this.#start(task)
    }
  }

  #start(task: HeldTask): void {
    try {
      this.#begin(task, this.#executors.start(task, this.#reporter(task)))
    } catch (error) {
      this.#end(task, failed(error))
    }
  }

  #begin(task: HeldTask, run: TaskRun): void {
    task.run = run
    this.#set(task, 'running')
    this.#pend(
      run.ended.then(
        (end) => this.#onRunEnded(task, end),
        (error: unknown) => this.#end(task, failed(error)),
      ),
    )
  }

  #onRunEnded(task: HeldTask, end: TaskEnd): void {
    delete task.run
    if (end.status !== 'interrupted') this.#end(task, end)
    // Unfinished: it stays in the journal and starts again with the agent.
    else if (task.status === 'running') this.#set(task, 'queued')
  }

  #end(task: HeldTask, end: TaskEndRecord): void {
    task.end = end
    delete task.run
    if (end.status === 'completed') task.progress = 1
    this.#set(task, end.status)
    this.#pend(this.#keepEnd(task, end))
    this.#startWaiting()
  }

  async #keepEnd(task: HeldTask, end: TaskEndRecord): Promise<void> {
    const { clock, patientJournal, onChange } = this.#options
    const record: LedgerRecord = { type: 'end', taskId: task.taskId, end, wallMs: clock.wallMs() }
    task.endKept = await patientJournal.keep([record], `the end of task ${task.taskId}`)
    if (task.endKept) onChange()
  }

  #set(task: HeldTask, status: TaskStatus): void {
    if (task.status === status) return
    task.status = status
    task.updatedAtMs = this.#options.clock.wallMs()
    this.#options.onChange()
  }

  #reporter(task: HeldTask): TaskReporter {
    const { clock, keep } = this.#options
    return reporterOf(task, clock, (facts) => keep([{ type: 'facts', taskId: task.taskId, facts }]))
  }

  #pend(work: Promise<unknown>): void {
    const pending = work.finally(() => this.#pending.delete(pending))
    this.#pending.add(pending)
  }
}
