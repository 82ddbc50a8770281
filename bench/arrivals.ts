/** How evenly a fleet comes back: its arrivals in slots of a second. Pure. */

/** What is said of the arrivals of a fleet. */
export interface ArrivalSpread {
  /** Arrivals in the fullest slot. */
  readonly peak: number
  /** Arrivals per slot between the first and the last percentile, or over the planned time if they took less. */
  readonly mean: number
  readonly slots: readonly number[]
  /** Of all, ms. */
  readonly lastMs: number
}

const SLOT_MS = 1_000
/** Stragglers at both ends, and the slots that they would stretch the mean over, do not count. */
const PERCENTILE = 0.01

/**
 * Cuts the time between the first and the last percentile into slots.
 * @param arrivalsMs - times by one clock, in any order.
 * @param plannedMs - the time over which they were to come: a herd is even within the second in which all of it comes.
 * @throws RangeError for no arrivals.
 */
export function arrivalSpread(arrivalsMs: readonly number[], plannedMs: number): ArrivalSpread {
  const sorted = arrivalsMs.toSorted((a, b) => a - b)
  const inner = sorted.slice(
    Math.floor(sorted.length * PERCENTILE),
    Math.ceil(sorted.length * (1 - PERCENTILE)),
  )
  const [firstMs, lastMs, allMs] = [inner[0], inner.at(-1), sorted.at(-1)]
  if (firstMs === undefined || lastMs === undefined || allMs === undefined) {
    throw new RangeError('Nobody arrived, so there is no spread. Look at what the streams were answered.')
  }
  const slots: number[] = Array.from({ length: Math.floor((lastMs - firstMs) / SLOT_MS) + 1 }, () => 0)
  for (const atMs of inner) {
    const slot = Math.floor((atMs - firstMs) / SLOT_MS)
    slots[slot] = (slots[slot] ?? 0) + 1
  }
  const seconds = Math.max(SLOT_MS, plannedMs * (1 - 2 * PERCENTILE), lastMs - firstMs) / SLOT_MS
  return { peak: Math.max(...slots), mean: inner.length / seconds, slots, lastMs: allMs }
}
