/** The kinds of task that this agent's own configuration names, and nothing else. */
import { DownlinkError, type Delivery, type Json } from '@downlink/protocol'
import type { TaskExecutor, TaskReporter, TaskRun } from './executor.ts'
import type { OnRestart } from './task.ts'
import type { TaskFacts } from './held-task.ts'

/** Finds the executor of a task. */
export class Executors {
  readonly #byKind: ReadonlyMap<string, TaskExecutor>

  constructor(byKind: ReadonlyMap<string, TaskExecutor>) {
    this.#byKind = byKind
  }

  get isEmpty(): boolean {
    return this.#byKind.size === 0
  }

  /** How a verb of a kind's own behaves in a crash; undefined if there is no such kind or verb. */
  deliveryOf(kind: string, action: string): Delivery | undefined {
    return this.#byKind.get(kind)?.deliveryOf(action)
  }

  /** What becomes of a task that an earlier life had begun; one whose kind is gone from the configuration fails anyway. */
  onRestart(kind: string): OnRestart {
    return this.#byKind.get(kind)?.onRestart ?? 'restart'
  }

  /** Longest run of a task of that kind, ms; undefined for no limit. */
  timeLimitMs(kind: string): number | undefined {
    return this.#byKind.get(kind)?.timeLimitMs
  }

  /** @throws DownlinkError `unknown_kind`. */
  start({ taskId, kind, input }: TaskFacts, reporter: TaskReporter): TaskRun {
    const executor = this.#byKind.get(kind)
    if (executor === undefined) {
      const kinds = [...this.#byKind.keys()].join(', ')
      throw new DownlinkError(
        'unknown_kind',
        `This agent runs no tasks of kind ${kind}; its own configuration names: ${kinds === '' ? 'none' : kinds}.`,
      )
    }
    return executor.start({ taskId, kind, input, paused: false, reporter })
  }

  /** Ends what an earlier life left running of a task; its kind may have left the configuration since. */
  async reap(kind: string, facts: Json): Promise<void> {
    const own = this.#byKind.get(kind)
    await Promise.all((own === undefined ? [...this.#byKind.values()] : [own]).map((one) => one.reap(facts)))
  }
}
