/** The tasks that this agent holds, by id, and a bounded memory of those that it held. */
import { DownlinkError, limits, type TaskStatus } from '@downlink/protocol'
import type { Outcome } from '../controls/ledger-records.ts'
import { answerOf, answerOfEnded, fail, type HeldTask } from './held-task.ts'

/** Holds tasks; the owner says which and how many. */
export class HeldTasks {
  readonly #tasks = new Map<string, HeldTask>()
  /** How tasks ended that the hub knows to be over, the oldest first. */
  readonly #dropped = new Map<string, TaskStatus>()

  get size(): number {
    return this.#tasks.size
  }

  get(taskId: string): HeldTask | undefined {
    return this.#tasks.get(taskId)
  }

  /** Of all, in the order in which they came. */
  all(): readonly HeldTask[] {
    return [...this.#tasks.values()]
  }

  /** Also of one of the last `DROPPED_TASKS_MAX` that are over. */
  hasHeld(taskId: string): boolean {
    return this.#tasks.has(taskId) || this.#dropped.has(taskId)
  }

  /** @throws DownlinkError `task_exists` or `too_many_tasks`. */
  requireRoomFor(taskId: string): void {
    const existing = this.#tasks.get(taskId)
    if (existing !== undefined && existing.end === undefined) {
      throw new DownlinkError(
        'task_exists',
        `Task ${taskId} is held already; end it before tracking it again.`,
      )
    }
    if (existing === undefined && this.size >= limits.AGENT_TASKS_MAX) {
      throw new DownlinkError(
        'too_many_tasks',
        `This agent holds ${limits.AGENT_TASKS_MAX} tasks, which is the most; end some before tracking more.`,
      )
    }
  }

  /** Takes in a task, in the place of one of its id. */
  hold(task: HeldTask): HeldTask {
    this.#tasks.set(task.taskId, task)
    this.#dropped.delete(task.taskId)
    return task
  }

  /** Lets go of a task that is over, unless another has taken its place. */
  drop(task: HeldTask): void {
    if (this.#tasks.get(task.taskId) !== task) return
    this.#tasks.delete(task.taskId)
    this.#dropped.set(task.taskId, task.status)
    const oldest = this.#dropped.keys().next()
    if (this.#dropped.size > limits.DROPPED_TASKS_MAX && oldest.done !== true) {
      this.#dropped.delete(oldest.value)
    }
  }

  /** The outcome of a control that nobody has to be told of, or undefined if the task has to be. */
  answer(taskId: string, action: string): Outcome | undefined {
    const task = this.#tasks.get(taskId)
    if (task !== undefined) return answerOf(task, action)
    const ended = this.#dropped.get(taskId)
    return ended === undefined
      ? fail('task_unknown', `This agent holds no task ${taskId}.`)
      : answerOfEnded(taskId, ended, action)
  }
}
