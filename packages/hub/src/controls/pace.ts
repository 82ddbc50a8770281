/** How soon an agent should sync again. Pure. */
import { limits } from '@downlink/protocol'

/** The wait before the next sync, ms. */
export function nextSyncMs(agent: {
  readonly isStreaming: boolean
  readonly isWatched: boolean
  readonly hasRunningTasks: boolean
  /** The last reply could not carry everything. */
  readonly isCut: boolean
}): number {
  if (agent.isCut) return limits.NEXT_SYNC_MS_MIN
  if (agent.isWatched) return limits.SYNC_WATCHED_MS
  return agent.isStreaming && !agent.hasRunningTasks ? limits.SYNC_IDLE_MS : limits.SYNC_ACTIVE_MS
}
