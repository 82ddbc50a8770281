/** One piece of work at a time in each lane, in a simulation: the lanes die with the process. */

/** A lane of a task. */
export interface LaneKey {
  readonly taskId: string
  readonly lane: string
}

/** The lanes that have work, and what waits in them. */
export class SimLanes {
  readonly #waiting = new Map<string, (() => void)[]>()

  /** Does `work` when the lane is free; it must call `done` once. */
  run({ taskId, lane }: LaneKey, work: (done: () => void) => void): void {
    const name = `${taskId} ${lane}`
    const begin = (): void => work(() => this.#leave(name))
    const waiting = this.#waiting.get(name)
    if (waiting !== undefined) {
      waiting.push(begin)
      return
    }
    this.#waiting.set(name, [])
    begin()
  }

  /** The process has died, and all that waited with it. */
  clear(): void {
    this.#waiting.clear()
  }

  #leave(name: string): void {
    const next = this.#waiting.get(name)?.shift()
    if (next === undefined) this.#waiting.delete(name)
    else next()
  }
}
