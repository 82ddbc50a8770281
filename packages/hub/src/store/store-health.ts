/** How a store stands, as its commits show: what makes a hub ready, or not. */
import { limits, type Clock } from '@downlink/protocol'
import type { CommitBackend } from './commit-batch.ts'
import { StoreError } from './store.ts'
import type { StoreHealth } from './store.ts'

/** A backend whose commits are watched. */
export interface WatchedBackend extends CommitBackend {
  /** How the last commit ended, unless the one under way takes too long already. */
  health(): StoreHealth
}

/**
 * Watches the commits of `backend`. A commit or a read that fails makes the store fail; only a commit mends it, because
 * what cannot be written can often still be read.
 * @param onFailing - called when the store begins to fail, and when a commit mended it.
 */
export function watchBackend(
  backend: CommitBackend,
  clock: Clock,
  onFailing: (error: StoreError | undefined) => void = () => undefined,
): WatchedBackend {
  let failure: StoreError | undefined
  /** When each commit under way was asked for, ms, oldest first. */
  const beganMs: number[] = []
  const failed = (error: unknown): void => {
    const isFirst = failure === undefined
    failure = failureOfStore(error)
    if (isFirst) onFailing(failure)
  }
  return {
    async load(bucket, key) {
      try {
        return await backend.load(bucket, key)
      } catch (error) {
        failed(error)
        throw error
      }
    },
    async commit(batch, onSent) {
      beganMs.push(clock.monotonicMs())
      try {
        const reply = await backend.commit(batch, onSent)
        const wasFailing = failure !== undefined
        failure = undefined
        if (wasFailing) onFailing(undefined)
        return reply
      } catch (error) {
        failed(error)
        throw error
      } finally {
        beganMs.shift()
      }
    },
    health() {
      if (failure !== undefined) return { state: 'failing', error: failure }
      const [oldestMs] = beganMs
      const sinceMs = oldestMs === undefined ? 0 : clock.monotonicMs() - oldestMs
      if (sinceMs < limits.STORE_COMMIT_MS_MAX) return { state: 'ok' }
      const error = new StoreError(
        'store_failed',
        `A commit has been under way for ${Math.round(sinceMs)} ms; one may take ${limits.STORE_COMMIT_MS_MAX} ms. Look at the disk.`,
      )
      return { state: 'failing', error }
    },
  }
}

/** That one change may have been stored is for whoever asked for it; of the store it says that it fails. */
function failureOfStore(error: unknown): StoreError {
  if (error instanceof StoreError && error.code !== 'outcome_unknown') return error
  return new StoreError('store_failed', error instanceof Error ? error.message : String(error), error)
}
