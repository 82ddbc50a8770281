/** A fleet in a few processes, ours and originals, that tells when each of its agents dialled, and what it was given to apply. */
import { expect, vi } from 'vitest'
import { arrivalSpread } from '../bench/arrivals.ts'
import { ask, type HubAddress } from '../packages/testkit/src/kills/operator.ts'
import { startFixture, type FixtureProcess } from './fleet-process.ts'
import type { Applied, Coming, FleetEntries, FleetState } from './fixtures/fleet-diary.ts'

/** What a fleet is made of. */
export interface FleetSize {
  /** Agents of ours in each process of them; its agents are `a0`, `a1`, …, those of the next one `b0`, … */
  readonly ours: readonly number[]
  /** Originals in one process: `o0`, … */
  readonly originals: number
}

/** When an agent dialled and was answered, ms by the wall clock. */
export interface Arrival extends Coming {
  readonly isOurs: boolean
  /** When it was to dial first, however soon a hub was there: a machine that starts one late must not decide. */
  readonly firstDialMs: number
  /** Of the dial that was answered. */
  readonly dialMs: number
  readonly openedMs: number
}

/** Longest that a fleet may take to start, or to hear a heartbeat, ms. */
const START_MS_MAX = 60_000

export class Fleet implements AsyncDisposable {
  readonly ours: readonly string[]
  readonly originals: readonly string[]
  readonly #processes: readonly FixtureProcess[]

  private constructor({ ours, originals }: FleetSize, processes: readonly FixtureProcess[]) {
    this.ours = ours.flatMap((count, index) => namesOf(prefixOf(index), count))
    this.originals = namesOf('o', originals)
    this.#processes = processes
  }

  /** Enrolls all, and resolves once each of them streams and knows that `windowMs` is the window of the hub. */
  static async start(hub: HubAddress, size: FleetSize, windowMs: number): Promise<Fleet> {
    const uses = size.ours.reduce((sum, count) => sum + count, size.originals)
    const { key } = (await ask(hub, 'POST', 'api/v1/enrollment-keys', { uses })).json as { key: string }
    const fleet = new Fleet(size, [
      ...size.ours.map((count, index) =>
        startFixture('fleet-agents.ts', [hub.url, key, prefixOf(index), count]),
      ),
      startFixture('original-fleet.js', [hub.url, key, 'o', size.originals]),
    ])
    try {
      await Promise.all(fleet.#processes.map((process) => process.next()))
      await fleet.settled(windowMs)
      return fleet
    } catch (error) {
      await fleet[Symbol.asyncDispose]()
      throw error
    }
  }

  /**
   * Every agent streams, and the originals have heard `windowMs` as the hub's window: all streams get the same heartbeats, so
   * that ours have heard it, too. What was written down until then is forgotten.
   */
  async settled(windowMs: number): Promise<void> {
    await vi.waitFor(
      async () => {
        const states = await this.#askAll<FleetState>('state')
        const open = sumOf(states, 'open')
        const heardMs = states.at(-1)?.windowMs
        if (open === this.#count && heardMs === windowMs) return
        throw new Error(
          `Of ${this.#count} agents ${open} are connected, and the last window told was ${heardMs} ms. Look for why it is not ${windowMs} ms for all.`,
        )
      },
      { timeout: START_MS_MAX, interval: 250 },
    )
    await this.#askAll('begin')
  }

  /** Resolves once every agent has dialled since, and was answered. */
  async back(withinMs: number): Promise<readonly Arrival[]> {
    await vi.waitFor(
      async () => {
        const back = sumOf(await this.#askAll<FleetState>('state'), 'back')
        if (back === this.#count) return
        throw new Error(`Of ${this.#count} agents ${back} are back. Look for why the others do not dial.`)
      },
      { timeout: withinMs, interval: 250 },
    )
    const entries = await this.#askAll<FleetEntries>('read')
    return entries.flatMap(({ comings }, index) =>
      comings.map(({ agentId, dialsMs, openedMs = Infinity }) => ({
        agentId,
        dialsMs,
        firstDialMs: dialsMs[0] ?? Infinity,
        dialMs: dialsMs.at(-1) ?? Infinity,
        openedMs,
        isOurs: index < entries.length - 1,
      })),
    )
  }

  /** All that agents were given to apply, in no order. */
  async applied(): Promise<readonly Applied[]> {
    return (await this.#askAll<FleetEntries>('read')).flatMap(({ applied }) => applied)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.kill()))
  }

  get #count(): number {
    return this.ours.length + this.originals.length
  }

  /** In the order of the processes, with that of the originals last. */
  async #askAll<T>(question: string): Promise<readonly T[]> {
    return Promise.all(
      this.#processes.map(async (process) => {
        process.tell(question)
        return (await process.next()) as T
      }),
    )
  }
}

function prefixOf(index: number): string {
  return String.fromCharCode('a'.charCodeAt(0) + index)
}

function namesOf(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`)
}

function sumOf(states: readonly FleetState[], name: 'open' | 'back'): number {
  return states.reduce((sum, state) => sum + state[name], 0)
}

/**
 * Fails if a second holds more than twice the mean.
 * @param plannedMs - the time over which they were to come.
 */
export function expectNoHerd(
  timesMs: readonly number[],
  plannedMs: number,
  what: string,
  note: (figures: string) => void,
): void {
  const { peak, mean } = arrivalSpread(timesMs, plannedMs)
  const figures = spreadText(timesMs, plannedMs, what)
  note(figures)
  expect(peak, `Agents came as a herd. ${figures}`).toBeLessThanOrEqual(2 * mean)
}

/** For people. */
export function spreadText(timesMs: readonly number[], plannedMs: number, what: string): string {
  const { peak, mean, slots } = arrivalSpread(timesMs, plannedMs)
  return `${what}: peak ${peak}, mean ${mean.toFixed(1)}, ratio ${(peak / mean).toFixed(2)}, by the second ${slots.join(' ')}`
}
