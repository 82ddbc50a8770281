/** Whom a control is for: a task of the runtime, or one that the application has by itself. */
import { isStateVerb, type Control, type Delivery, type StateVerb } from '@downlink/protocol'
import { failureOf } from '../failure.ts'
import type { TaskRuntime } from '../tasks/runtime.ts'
import type { Outcome } from './ledger-records.ts'

/** Decides controls of tasks that the runtime does not hold; undefined if the application has no such tasks. */
export type DecideElsewhere = ((control: Control) => Promise<Outcome>) | undefined

/** Applies controls where they belong. */
export class ControlTarget {
  readonly #runtime: TaskRuntime
  readonly #decideElsewhere: DecideElsewhere

  constructor(runtime: TaskRuntime, decideElsewhere: DecideElsewhere) {
    this.#runtime = runtime
    this.#decideElsewhere = decideElsewhere
  }

  /** A push may be about a task that only the next sync brings; that sync hands out the control again. */
  isDecidableNow({ taskId }: Control): boolean {
    return this.#runtime.has(taskId) || (this.#decideElsewhere !== undefined && !this.#runtime.takesTasks)
  }

  /** Whether the application answers for the task; for one that the runtime has held it does not. */
  isElsewhere(taskId: string): boolean {
    return this.#decideElsewhere !== undefined && !this.#runtime.hasHeld(taskId)
  }

  /** What the task's own state says to a decision on this machine, or undefined if somebody has to be told. */
  answerAtOnce(taskId: string, action: StateVerb): Outcome | undefined {
    return this.isElsewhere(taskId) ? undefined : this.#runtime.answerAtOnce(taskId, action)
  }

  /** What a crash in between means for the control. */
  deliveryOf({ taskId, action }: Control): Delivery {
    if (isStateVerb(action)) return 'atLeastOnce'
    return this.#runtime.deliveryOf(taskId, action) ?? 'atMostOnce'
  }

  /** Never rejects: whatever the application throws is the outcome. */
  async apply(control: Control): Promise<Outcome> {
    const runtime = this.#runtime
    const { taskId, action, args } = control
    const isOwnVerb = isStateVerb(action) || runtime.deliveryOf(taskId, action) !== undefined
    if (
      this.#decideElsewhere !== undefined &&
      (this.isElsewhere(taskId) || (runtime.has(taskId) && !isOwnVerb))
    ) {
      try {
        return await this.#decideElsewhere(control)
      } catch (error) {
        return { state: 'failed', ...failureOf(error, 'verb_failed') }
      }
    }
    if (runtime.has(taskId) && !isOwnVerb) {
      return { state: 'failed', code: 'unsupported', message: `Task ${taskId} has no verb ${action}.` }
    }
    return runtime.apply(taskId, action, args)
  }
}
