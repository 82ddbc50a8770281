/** One thing that really happened to a task: what the checker judges by. */

/** The log of effects survives every crash, as the world does. */
export interface Effect {
  readonly atMs: number
  readonly life: number
  readonly taskId: string
  readonly lane: string
  readonly action: string
  readonly delivery: 'atMostOnce' | 'atLeastOnce'
  /** Undefined for a decision made on the agent's own machine; its revision is then what it rests on. */
  readonly controlId?: string
  readonly epoch: number
  readonly revision: number
}
