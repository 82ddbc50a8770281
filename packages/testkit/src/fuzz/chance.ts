/** Seeded chance in the shapes that generators need: the same seed makes the same case. */
import { seededRandom } from '../simulation/scheduler.ts'

/** Chance of one case. */
export class Chance {
  private readonly random: () => number

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  /** A whole number from 0 to below `end`. */
  below(end: number): number {
    return Math.floor(this.random() * end)
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0
  }

  pick<T>(items: readonly [T, ...T[]]): T {
    return items[this.below(items.length)] ?? items[0]
  }

  /** Most often small, now and then up to `max`. */
  size(max: number): number {
    return this.below(1 + Math.min(max, 2 ** this.below(2 + Math.ceil(Math.log2(max + 1)))))
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256))
  }
}
