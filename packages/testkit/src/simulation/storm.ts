/** What every simulated world has: weather that ends, things that happen now and then, an operator who asks until answered. */
import { Channel, type Weather } from './channel.ts'
import type { Scheduler } from './scheduler.ts'
import type { SimHub } from './sim-hub.ts'

/** How long an operator waits for an answer before asking again with the same key, virtual ms. */
const REPEAT_MS = 300

/** Bad weather between an operator, a hub and an agent, until {@link Storm.calmDown}. */
export class Storm {
  readonly scheduler: Scheduler
  readonly channel: Channel
  /** Requests of operators that no answer has come to. */
  awaiting = 0
  crashes = 0
  readonly #hub: SimHub
  readonly #weather: Weather
  #isStormy = true

  constructor(scheduler: Scheduler, hub: SimHub, weather: Weather) {
    this.scheduler = scheduler
    this.#hub = hub
    this.#weather = weather
    this.channel = new Channel(scheduler, weather)
  }

  calmDown(): void {
    this.#isStormy = false
    this.#weather.loss = 0
    this.#weather.double = 0
    this.#weather.delayMsMax = 5
  }

  /** For as long as the run lasts. */
  everyNowAndThen(minMs: number, maxMs: number, action: () => void): void {
    this.scheduler.after(this.scheduler.between(minMs, maxMs), () => {
      action()
      this.everyNowAndThen(minMs, maxMs, action)
    })
  }

  whileStormy(minMs: number, maxMs: number, action: () => void): void {
    this.scheduler.after(this.scheduler.between(minMs, maxMs), () => {
      if (!this.#isStormy) return
      action()
      this.whileStormy(minMs, maxMs, action)
    })
  }

  /** An operator's request, made again with the same key until an answer has come through. */
  persist(request: (answered: () => void) => void): void {
    this.awaiting++
    let answered = false
    const attempt = (): void => {
      if (answered) return
      this.channel.send(
        () => this.#hub.life,
        () => {
          if (!this.#hub.up) return
          request(() => {
            if (!answered) this.awaiting--
            answered = true
          })
        },
      )
      this.scheduler.after(REPEAT_MS, attempt)
    }
    attempt()
  }

  /** @returns whether there was a hub to crash; it starts again a little later. */
  crashHub(options: { restoreBackup: boolean }): boolean {
    if (!this.#hub.up) return false
    this.crashes++
    this.#hub.crash()
    this.scheduler.after(this.scheduler.between(10, 300), () => this.#hub.start(options))
    return true
  }
}
