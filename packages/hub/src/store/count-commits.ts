/** Counts and times the commits of a store. */
import type { Clock } from '@downlink/protocol'
import { COUNTS, Histogram, SECONDS } from '../metrics/histogram.ts'
import type { CommitBackend } from './commit-batch.ts'
import type { CommitCounts } from './commit-counts.ts'

/** A backend that counts what goes through it. */
export function countCommits(
  backend: CommitBackend,
  clock: Clock,
): { readonly backend: CommitBackend; readonly counts: CommitCounts } {
  const counts = {
    entries: new Histogram(COUNTS),
    seconds: new Histogram(SECONDS),
    failures: { commits: 0, reads: 0 },
  }
  return {
    counts,
    backend: {
      async load(bucket, key) {
        try {
          return await backend.load(bucket, key)
        } catch (error) {
          counts.failures.reads++
          throw error
        }
      },
      async commit(batch, onSent) {
        const beganMs = clock.monotonicMs()
        try {
          const reply = await backend.commit(batch, onSent)
          counts.entries.observe(batch.writes.length)
          counts.seconds.observe((clock.monotonicMs() - beganMs) / 1_000)
          return reply
        } catch (error) {
          counts.failures.commits++
          throw error
        }
      },
    },
  }
}
