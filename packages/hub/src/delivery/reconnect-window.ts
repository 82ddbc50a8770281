/** The window over which the agents of a hub spread their first reconnects, should it be lost at once. Pure. */
import { limits } from '@downlink/protocol'

/**
 * The window, ms: as long as half of what the hub accepts per second needs for all of them, as syncs and operators want
 * the other half.
 * @param acceptPerS - streams that the hub accepts per second.
 */
export function reconnectWindowMs(agentCount: number, acceptPerS: number): number {
  const neededMs = Math.ceil((2_000 * agentCount) / acceptPerS)
  return Math.min(limits.RECONNECT_WINDOW_MS_MAX, Math.max(limits.RECONNECT_WINDOW_MS_MIN, neededMs))
}
