/** Drops history by age, a bounded number of facts at a time. */
import { limits, type Clock, type Timer } from '@downlink/protocol'
import type { Logger } from '../logger.ts'
import type { Store } from './store.ts'

/** What the loop needs. */
export interface RetentionLoopOptions {
  readonly store: Store
  readonly clock: Clock
  readonly logger: Logger
  /** How long history is kept, ms, by the wall clock. */
  readonly historyMs: number
}

/** Looks once an hour, and goes on at once while there is more to drop. Nothing is dropped after it was disposed of. */
export function startRetentionLoop(options: RetentionLoopOptions): Disposable {
  const { store, clock, logger, historyMs } = options
  let timer: Timer | undefined
  let isStopped = false
  const wait = (delayMs: number): void => {
    if (!isStopped) timer = clock.setTimer(delayMs, () => void look())
  }
  const look = async (): Promise<void> => {
    try {
      const count = await store.pruneHistory(clock.wallMs() - historyMs, limits.HISTORY_PRUNE_MAX)
      wait(count < limits.HISTORY_PRUNE_MAX ? limits.HISTORY_PRUNE_EVERY_MS : limits.HISTORY_PRUNE_REST_MS)
    } catch (error) {
      if (!isStopped) logger.warn({ error }, 'Old history could not be dropped; it is tried again in an hour')
      wait(limits.HISTORY_PRUNE_EVERY_MS)
    }
  }
  wait(limits.HISTORY_PRUNE_REST_MS)
  return {
    [Symbol.dispose]() {
      isStopped = true
      timer?.cancel()
    },
  }
}
