/** A histogram of fixed buckets: observing costs a few comparisons and two additions. */

/** How often values fell between bounds. Not for negative values, which count as 0. */
export class Histogram {
  /** Upper bounds of the buckets, rising; one more bucket takes what is above the last. */
  readonly bounds: readonly number[]
  readonly counts: number[]
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  observe(value: number): void {
    const { bounds } = this
    let bucket = 0
    while (bucket < bounds.length && value > (bounds[bucket] ?? Infinity)) bucket++
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1
    this.sum += Math.max(0, value)
  }
}

/** Bounds for what takes from half a millisecond to a minute, s. */
export const SECONDS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60,
]
/** Bounds for what an agent may take its time for, s: up to an hour. */
export const LONG_SECONDS: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600,
]
/** Bounds for how many go together. */
export const COUNTS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024]
