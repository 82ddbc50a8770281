/** One piece of work at a time in each lane of each task, in the order in which it came. */

/** The lanes that have work. */
export class Lanes {
  /** By task and lane: settles, and never rejects, when its last work is done. */
  readonly #last = new Map<string, Promise<unknown>>()

  /** Does `work` when everything before it in its lane is done, whatever became of that. */
  run<T>(taskId: string, lane: string, work: () => Promise<T>): Promise<T> {
    const key = `${taskId}\0${lane}`
    const mine = (this.#last.get(key) ?? Promise.resolve()).then(work)
    const settled = mine
      .catch(() => undefined)
      .then(() => {
        if (this.#last.get(key) === settled) this.#last.delete(key)
      })
    this.#last.set(key, settled)
    return mine
  }

  /** Resolves when no lane has work. */
  async idle(): Promise<void> {
    while (this.#last.size > 0) await Promise.all(this.#last.values())
  }
}
