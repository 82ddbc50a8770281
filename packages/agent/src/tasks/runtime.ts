/** The tasks that this agent holds: starts them as there is room, steers them, and says how they stand. */
import { isStateVerb, isTaskId, limits, type Clock, type Delivery, type Json } from '@downlink/protocol'
import type { IntendedState, LedgerRecord, Outcome } from '../controls/ledger-records.ts'
import type { LedgerTask } from '../controls/ledger-state.ts'
import type { PatientJournal } from '../controls/patient-journal.ts'
import { failureOf } from '../failure.ts'
import { waitAtMost } from '../wait-at-most.ts'
import type { TaskExecutor } from './executor.ts'
import { Executors } from './executors.ts'
import {
  answerOf,
  answerOfEnded,
  createHeldTask,
  fail,
  isBusy,
  type HeldTask,
  type TaskFacts,
} from './held-task.ts'
import { HeldTasks } from './held-tasks.ts'
import { Leftovers } from './leftovers.ts'
import { steer } from './steering.ts'
import { TaskRuns } from './task-runs.ts'
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
  readonly #runs: TaskRuns
  readonly #leftovers: Leftovers
  #stopping = false

  constructor(options: RuntimeOptions) {
    this.#options = options
    this.#executors = new Executors(options.executors)
    this.#runs = new TaskRuns({ ...options, executors: this.#executors, onEnd: () => this.#startWaiting() })
    this.#leftovers = new Leftovers({ ...options, executors: this.#executors })
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
      } else if (task.facts !== undefined) this.#runs.pend(this.#reap(held, task.facts))
    }
    this.#startWaiting()
  }

  /** Ends what tasks of a damaged journal left running; they are not taken up, as nobody knows what became of them. */
  endLeftovers(tasks: readonly LedgerTask[]): Promise<void> {
    return this.#leftovers.endAll(tasks)
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
    const { run, tracked } = createTrackedRun({ taskId, kind }, this.#runs.reporter(held))
    this.#runs.begin(held, run)
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
    const runs = this.#tasks.all().flatMap((task) => {
      task.watch?.over()
      return task.run?.shutdown() ?? []
    })
    const settle = async (): Promise<void> => {
      await Promise.allSettled(runs)
      await this.#runs.settled()
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
    if (task.wanted === 'paused') this.#runs.set(task, 'paused')
    else if (task.run !== undefined) this.#runs.set(task, 'running')
    else if (task.wanted === 'running' || task.isReaping) this.#runs.set(task, 'queued')
    else this.#runs.end(task, { status: 'cancelled' })
  }

  async #reap(task: HeldTask, facts: Json): Promise<void> {
    const end = await this.#leftovers.end(task, facts)
    if (end !== undefined) this.#runs.end(task, end)
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
      this.#runs.start(task)
    }
  }
}
