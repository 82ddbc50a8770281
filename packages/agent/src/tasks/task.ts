/** What an application writes to define a task, and what a running task is handed. */
import type { Json } from '@downlink/protocol'
import type { StandardSchemaV1 as Schema } from '@standard-schema/spec'

/** What a schema makes of its input; `unknown` without a schema. */
export type SchemaOutput<S> = S extends Schema ? Schema.InferOutput<S> : unknown

/** Whether a task that was interrupted by a stop or crash of the agent starts anew, or fails as `interrupted`. */
export type OnRestart = 'restart' | 'fail'

/** What a running task is handed. */
export interface TaskContext<I = unknown> {
  readonly taskId: string
  readonly kind: string
  readonly input: I
  readonly paused: boolean
  /**
   * Aborts with a `CancelledError` when an operator cancels (a `TimedOutError` when the time limit is over), with a
   * `ShutdownError` when the agent stops.
   */
  readonly signal: AbortSignal
  /**
   * Resolves at once, or when the task is resumed.
   * @throws `signal.reason` once the task is cancelled or the agent stops.
   */
  waitWhilePaused(): Promise<void>
  /** Reports 0 to 1; calls are coalesced, the last one wins. */
  progress(fraction: number, message?: string): void
  /** Keeps a line for `downlink logs`, within `TASK_LOG_LINES_MAX` lines; the oldest go first. */
  log(line: string): void
}

/** A verb of the application's own, beside cancel, pause and resume. */
export interface VerbDefinition<A, I> {
  /** Any Standard Schema; arguments that do not fit settle the control as `failed: bad_args`. */
  args?: A
  /**
   * Whether applying twice does no harm. If so, a verb that a crash interrupted is applied again; if not, it
   * settles as `failed: interrupted`.
   * @defaultValue false
   */
  idempotent?: boolean
  apply(args: SchemaOutput<A>, task: TaskContext<I>): void | Promise<void>
}

/** A kind of task. Input, verbs and result are types that `createOperatorClient<typeof tasks>` of @downlink/client takes over. */
export interface TaskDefinition<S, V, R extends Json | void = Json | void> {
  /** Any Standard Schema; input that does not fit fails the task with `bad_input`. */
  input?: S
  /** Longest that a task may run, its pauses not counted, ms; then it is cancelled with a `TimedOutError` and fails as `timed_out`. */
  timeLimitMs?: number
  /**
   * What becomes of a task that ran when the agent stopped or crashed: `restart` runs it anew from its beginning,
   * `fail` ends it as `failed: interrupted`.
   * @defaultValue `restart`
   */
  onRestart?: OnRestart
  verbs?: { [K in keyof V]: VerbDefinition<V[K], SchemaOutput<S>> }
  /** The task itself. What it returns is kept as its result, within `TASK_RESULT_BYTES_MAX`. */
  run(task: TaskContext<SchemaOutput<S>>): R | Promise<R>
}

/** Returns `definition` with its types inferred: input and verb arguments from their schemas, the result from `run`. */
export function defineTask<S = undefined, V = {}, R extends Json | void = Json | void>(
  definition: TaskDefinition<S, V, R>,
): TaskDefinition<S, V, R> {
  return definition
}

/** The reason of `task.signal` when an operator cancelled the task. */
export class CancelledError extends Error {
  override readonly name: string = 'CancelledError'
  constructor(message = 'The task was cancelled.') {
    super(message)
  }
}

/** The reason of `task.signal` when the task has run longer than its `timeLimitMs`. */
export class TimedOutError extends CancelledError {
  override readonly name: string = 'TimedOutError'
  constructor(message = 'The task has run longer than its time limit.') {
    super(message)
  }
}

/** The reason of `task.signal` when the agent stops; the task is unfinished and starts again with the agent. */
export class ShutdownError extends Error {
  override readonly name = 'ShutdownError'
  constructor(message = 'The agent stops; the task starts again with it.') {
    super(message)
  }
}
