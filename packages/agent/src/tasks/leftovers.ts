/** What an earlier life of the agent left running: it is ended before anything takes its place. */
import { limits, type Clock, type Json } from '@downlink/protocol'
import type { TaskEndRecord } from '../controls/ledger-records.ts'
import type { LedgerTask } from '../controls/ledger-state.ts'
import { waitAtMost } from '../wait-at-most.ts'
import type { Executors } from './executors.ts'
import type { HeldTask } from './held-task.ts'

/** What ending leftovers needs. */
export interface LeftoversOptions {
  readonly executors: Executors
  readonly clock: Clock
  readonly onTrouble: (error: unknown, message: string) => void
}

/** Ends leftovers by the facts that were kept of them. */
export class Leftovers {
  readonly #options: LeftoversOptions

  constructor(options: LeftoversOptions) {
    this.#options = options
  }

  /**
   * Ends what is left of a task that is held again. Resolves to the end that the task has come to by that, or to
   * undefined if it may start anew; never rejects.
   */
  async end(task: HeldTask, facts: Json): Promise<TaskEndRecord | undefined> {
    const { executors, onTrouble } = this.#options
    task.isReaping = true
    try {
      await executors.reap(task.kind, facts)
    } catch (error) {
      onTrouble(error, `what task ${task.taskId} left running could not be ended`)
      return {
        status: 'failed',
        code: 'leftover_running',
        message: 'What an earlier start of the agent left running of this task could not be ended.',
      }
    } finally {
      task.isReaping = false
    }
    if (executors.onRestart(task.kind) !== 'fail' || task.wanted === 'cancelled') return undefined
    return {
      status: 'failed',
      code: 'interrupted',
      message: 'The agent stopped while the task ran, and tasks of this kind are not started again.',
    }
  }

  /** Ends what is left of tasks that nothing holds any more; resolves when it is gone, or after `STOP_MS_MAX`. */
  async endAll(tasks: readonly LedgerTask[]): Promise<void> {
    const { clock, executors, onTrouble } = this.#options
    const reaping = tasks.map(async ({ taskId, kind, facts }) => {
      try {
        if (facts !== undefined) await executors.reap(kind, facts)
      } catch (error) {
        onTrouble(error, `what task ${taskId} left running could not be ended`)
      }
    })
    if (await waitAtMost(clock, limits.STOP_MS_MAX, Promise.all(reaping))) return
    onTrouble(
      undefined,
      `what tasks of a damaged journal left running has not ended within ${limits.STOP_MS_MAX} ms; look for it by hand`,
    )
  }
}
