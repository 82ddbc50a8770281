/** What is counted of a store. */
import type { Histogram } from '../metrics/histogram.ts'

/** What a store has done since it was opened. */
export interface CommitCounts {
  /** Changes in one commit. */
  readonly entries: Histogram
  /** From handing a batch over until it is durable, s. */
  readonly seconds: Histogram
  /** Commits and readings of documents that failed. */
  readonly failures: { commits: number; reads: number }
}
