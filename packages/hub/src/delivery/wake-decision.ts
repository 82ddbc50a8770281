/** When a held `wake` is answered true: level by level, from what the last sync reply showed. Pure. */
import { limits } from '@downlink/protocol'

/** What is known about one agent. */
export interface WakeState {
  /** The newest committed version of its mailbox. */
  readonly version: number
  /** The version that the last sync reply showed; unknown after a restart of the hub, which counts as older than any. */
  readonly repliedVersion: number | undefined
  /** Somebody asked for a sync, and none has begun since. */
  readonly isNudged: boolean
  /** An original asks again at once, whether its sync brought anything or not. */
  readonly isOriginal: boolean
  /** When it was last told to come, on the monotonic clock. */
  readonly lastWakeMs: number | undefined
  readonly nowMs: number
}

/** In how many ms to answer `{"wake": true}`, or undefined as long as there is nothing to fetch. */
export function decideWake(state: WakeState): number | undefined {
  const { version, repliedVersion, isNudged, isOriginal, lastWakeMs, nowMs } = state
  if (!isNudged && repliedVersion !== undefined && version <= repliedVersion) return undefined
  if (!isOriginal || lastWakeMs === undefined) return 0
  return Math.max(0, lastWakeMs + limits.ORIGINAL_WAKE_MS - nowMs)
}
