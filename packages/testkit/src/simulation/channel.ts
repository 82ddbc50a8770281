/** A channel that loses, delays, doubles and reorders. */
import type { Scheduler } from './scheduler.ts'

/** How bad the weather is; all zero for the calm at the end of a run. */
export interface Weather {
  /** Probability that a message never arrives. */
  loss: number
  /** Probability that it arrives twice. */
  double: number
  /** Longest delay, virtual ms; different delays reorder. */
  delayMsMax: number
}

/**
 * Delivers messages to one side for as long as `lifeOf` gives the same answer as at the time of sending:
 * what was on its way to a process that died does not reach the next one.
 */
export class Channel {
  readonly #scheduler: Scheduler
  readonly #weather: Weather

  constructor(scheduler: Scheduler, weather: Weather) {
    this.#scheduler = scheduler
    this.#weather = weather
  }

  send(lifeOf: () => number, deliver: () => void): void {
    if (this.#scheduler.chance(this.#weather.loss)) return
    const life = lifeOf()
    const copies = this.#scheduler.chance(this.#weather.double) ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      this.#scheduler.after(this.#scheduler.between(1, this.#weather.delayMsMax), () => {
        if (lifeOf() === life) deliver()
      })
    }
  }
}
