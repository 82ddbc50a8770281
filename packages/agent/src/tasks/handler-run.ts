/** A task that is code in this process: the context that its handler sees, and the run that the runtime steers. */
import { DownlinkError, limits, parseJson, type Json } from '@downlink/protocol'
import { failureOf } from '../failure.ts'
import type { TaskEnd, TaskReporter, TaskRun, TaskStart } from './executor.ts'
import { CancelledError, ShutdownError, type TaskContext } from './task.ts'

/** The switches behind a {@link TaskContext}: paused or not, cancelled or not. */
export class TaskSwitch {
  readonly controller: AbortController = new AbortController()
  #paused: boolean
  #resumed: { promise: Promise<void>; resolve: () => void } | undefined

  constructor(paused: boolean) {
    this.#paused = paused
  }

  get paused(): boolean {
    return this.#paused
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#resumed?.resolve()
    this.#resumed = undefined
  }

  abort(reason: Error): void {
    this.controller.abort(reason)
  }

  async waitWhilePaused(): Promise<void> {
    const { signal } = this.controller
    while (this.#paused && !signal.aborted) {
      this.#resumed ??= Promise.withResolvers<void>()
      const { promise } = this.#resumed
      const aborted = Promise.withResolvers<void>()
      const onAbort = (): void => aborted.resolve()
      signal.addEventListener('abort', onAbort, { once: true })
      await Promise.race([promise, aborted.promise])
      signal.removeEventListener('abort', onAbort)
    }
    signal.throwIfAborted()
  }
}

/** The context of one task over its switches. */
export function createTaskContext<I>(
  task: { readonly taskId: string; readonly kind: string; readonly input: I },
  switches: TaskSwitch,
  reporter: Pick<TaskReporter, 'progress' | 'log'>,
): TaskContext<I> {
  return {
    ...task,
    get paused() {
      return switches.paused
    },
    signal: switches.controller.signal,
    waitWhilePaused: () => switches.waitWhilePaused(),
    progress: (fraction, message) => reporter.progress(fraction, message),
    log: (line) => reporter.log(line),
  }
}

/** What a handler task needs to run. */
export interface HandlerRunOptions<I> {
  readonly start: TaskStart
  /** Whether the next life of the agent must be able to tell that it had begun. */
  readonly keepsStart: boolean
  /** The task's input as its schema made it. @throws DownlinkError `bad_input`. */
  readonly input: () => Promise<I>
  readonly run: (context: TaskContext<I>) => Json | void | Promise<Json | void>
  readonly applyVerb: (action: string, args: Json, context: TaskContext<I>) => Promise<void>
}

/** Starts a handler. A handler that returns nothing after it was cancelled counts as cancelled; one that returns a value completed. */
export function startHandler<I>(options: HandlerRunOptions<I>): TaskRun {
  const switches = new TaskSwitch(options.start.paused)
  const { taskId, kind, reporter } = options.start
  /** Settles when the task's code begins, or to undefined when it never does. */
  const begun = Promise.withResolvers<TaskContext<I> | undefined>()
  const ended = (async (): Promise<TaskEnd> => {
    try {
      const input = await options.input()
      const context = createTaskContext({ taskId, kind, input }, switches, reporter)
      // A task that was paused before it began, and an end that came first, hold before any of its code runs.
      await context.waitWhilePaused()
      if (options.keepsStart) await kept(reporter, switches.controller.signal)
      begun.resolve(context)
      const result = await options.run(context)
      if (result === undefined && switches.controller.signal.aborted) return endOfAbort(switches)
      return completed(result ?? undefined)
    } catch (error) {
      return switches.controller.signal.aborted ? endOfAbort(switches) : failed(error)
    } finally {
      begun.resolve(undefined)
    }
  })()
  return {
    ended,
    pause: () => Promise.resolve(switches.pause()),
    resume: () => Promise.resolve(switches.resume()),
    cancel: (reason) => Promise.resolve(switches.abort(reason ?? new CancelledError())),
    async shutdown() {
      switches.abort(new ShutdownError())
      await ended
    },
    async applyVerb(action, args) {
      const context = await begun.promise
      if (context === undefined) {
        throw new DownlinkError(
          'task_not_running',
          `Task ${taskId} ended before it began, so ${action} came too late.`,
        )
      }
      await options.applyVerb(action, args, context)
    },
  }
}

/** Resolves once it is on disk that the task has begun. @throws the reason of `signal`: a full disk must not hold up its end. */
async function kept(reporter: TaskReporter, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>()
  const onAbort = (): void => aborted.resolve()
  signal.addEventListener('abort', onAbort, { once: true })
  await Promise.race([reporter.keepFacts({ begun: true }), aborted.promise])
  signal.removeEventListener('abort', onAbort)
  signal.throwIfAborted()
}

function endOfAbort(switches: TaskSwitch): TaskEnd {
  return switches.controller.signal.reason instanceof ShutdownError
    ? { status: 'interrupted' }
    : { status: 'cancelled' }
}

/** The end of a task that returned `result`, which must be JSON within its bounds. @throws what JSON.stringify throws. */
export function completed(result: Json | undefined): Exclude<TaskEnd, { status: 'interrupted' }> {
  if (result === undefined) return { status: 'completed' }
  const text = JSON.stringify(result)
  const bytes = Buffer.byteLength(text)
  if (bytes > limits.TASK_RESULT_BYTES_MAX) {
    return failed(
      new DownlinkError(
        'result_too_large',
        `The task's result has ${bytes} bytes; at most ${limits.TASK_RESULT_BYTES_MAX} are kept. Store it elsewhere and return where.`,
      ),
    )
  }
  const plain = parseJson(text, limits.TASK_RESULT_DEPTH_MAX)
  if (plain !== undefined) return { status: 'completed', result: plain }
  return failed(
    new DownlinkError(
      'result_too_deep',
      `The task's result is nested deeper than ${limits.TASK_RESULT_DEPTH_MAX} levels. Return something flatter.`,
    ),
  )
}

/** How an error ends a task; only its message leaves the machine. */
export function failed(error: unknown): Extract<TaskEnd, { status: 'failed' }> {
  return { status: 'failed', ...failureOf(error, 'task_failed') }
}
