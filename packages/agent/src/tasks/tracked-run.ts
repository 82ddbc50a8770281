/** A task that the application started by itself and lets the agent steer. */
import { DownlinkError, type Json } from '@downlink/protocol'
import type { TaskEnd, TaskReporter, TaskRun } from './executor.ts'
import { completed, createTaskContext, failed, TaskSwitch } from './handler-run.ts'
import { CancelledError, ShutdownError, type TaskContext } from './task.ts'

/** A task of the application's own, with what a handler is given, and the two ways in which it ends. */
export interface TrackedTask extends TaskContext<undefined>, AsyncDisposable {
  /**
   * The task is done. A result past `TASK_RESULT_BYTES_MAX`, or that is not JSON, makes it fail instead. Later calls
   * of this or of `fail` do nothing.
   */
  complete(result?: Json): void
  /** The task failed. After a cancel this means that it has ended as cancelled. */
  fail(error: unknown): void
}

/** The run that the runtime steers, and the handle that the application holds. */
export function createTrackedRun(
  task: { readonly taskId: string; readonly kind: string },
  reporter: Pick<TaskReporter, 'progress' | 'log'>,
): { readonly run: TaskRun; readonly tracked: TrackedTask } {
  const switches = new TaskSwitch(false)
  const { promise: ended, resolve: end } = Promise.withResolvers<TaskEnd>()
  const endOnce = (result: TaskEnd): void => {
    const { signal } = switches.controller
    const cancelled = signal.aborted && signal.reason instanceof CancelledError
    end(cancelled && result.status !== 'completed' ? { status: 'cancelled' } : result)
  }
  const context = createTaskContext(
    { taskId: task.taskId, kind: task.kind, input: undefined },
    switches,
    reporter,
  )
  const tracked: TrackedTask = Object.assign(context, {
    complete(result?: Json) {
      try {
        endOnce(completed(result))
      } catch (error) {
        endOnce(failed(error))
      }
    },
    fail: (error: unknown) => endOnce(failed(error)),
    [Symbol.asyncDispose]() {
      // Left without an end, as by an early return: after a cancel that is the cancel's effect, else the work is done.
      endOnce(switches.controller.signal.aborted ? { status: 'cancelled' } : { status: 'completed' })
      return Promise.resolve()
    },
  })
  return {
    tracked,
    run: {
      ended,
      pause: () => Promise.resolve(switches.pause()),
      resume: () => Promise.resolve(switches.resume()),
      cancel: (reason) => Promise.resolve(switches.abort(reason ?? new CancelledError())),
      shutdown() {
        switches.abort(new ShutdownError())
        end({ status: 'interrupted' })
        return Promise.resolve()
      },
      applyVerb: (action) =>
        Promise.reject(
          new DownlinkError(
            'unsupported',
            `Task ${task.taskId} is tracked and has no verb ${action}; handle it in onControl.`,
          ),
        ),
    },
  }
}
