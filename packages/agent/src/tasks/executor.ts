/** The seam between the task runtime and what runs a task: a function in this process, or a process group. */
import type { Delivery, Json } from '@downlink/protocol'
import type { CancelledError, OnRestart } from './task.ts'

/** How a run ended. `interrupted`: the agent stopped, the task is unfinished. */
export type TaskEnd =
  | { readonly status: 'completed'; readonly result?: Json }
  | { readonly status: 'failed'; readonly code: string; readonly message: string }
  | { readonly status: 'cancelled' }
  | { readonly status: 'interrupted' }

/** What a run tells the runtime. */
export interface TaskReporter {
  progress(fraction: number, message?: string): void
  log(line: string): void
  /**
   * Keeps `facts` in the agent's journal, so that the next life of the agent can find what this one left running.
   * Resolves once they are on disk; an executor starts nothing that outlives the agent before.
   */
  keepFacts(facts: Json): Promise<void>
}

/** A task to start. */
export interface TaskStart {
  readonly taskId: string
  readonly kind: string
  readonly input: Json
  /** Start it standing still: a pause was intended before the agent went down. */
  readonly paused: boolean
  readonly reporter: TaskReporter
}

/** A started task. Every method may be called in any state, more than once, and is idempotent. */
export interface TaskRun {
  /** Resolves when nothing of the task runs any more; never rejects. */
  readonly ended: Promise<TaskEnd>
  /** Resolves once the task has been told and, for a process, stands still. @throws if it cannot be paused. */
  pause(): Promise<void>
  resume(): Promise<void>
  /**
   * Resolves once the task has been told to end; `ended` says when it has.
   * @param reason - for a handler's signal. @defaultValue a `CancelledError`
   */
  cancel(reason?: CancelledError): Promise<void>
  /** The agent stops: ends the run as `interrupted`. Resolves when nothing of it runs any more. */
  shutdown(): Promise<void>
  /** Applies a verb of the application's own. @throws DownlinkError with the code that the control shall fail with. */
  applyVerb(action: string, args: Json): Promise<void>
}

/** Runs one kind of task. */
export interface TaskExecutor {
  /** Longest that a run may take without its pauses, ms; then it is ended as `failed: timed_out`. */
  readonly timeLimitMs?: number
  /** What becomes of a task that ran when the agent stopped. @defaultValue `restart` */
  readonly onRestart?: OnRestart
  /** How a verb of its own behaves when a crash interrupts it, or undefined if it has no such verb. */
  deliveryOf(action: string): Delivery | undefined
  start(task: TaskStart): TaskRun
  /** Ends what an earlier life of the agent left running, by the facts it kept; resolves when it is gone. */
  reap(facts: Json): Promise<void>
}
