/** The time limit of a kind of task, checked when the agent is made. */
import { limits } from '@downlink/protocol'

/**
 * The limit, to be spread into what is made of `definition`.
 * @throws TypeError unless it is absent or 1 to `TASK_TIME_LIMIT_MS_MAX`.
 */
export function timeLimitOf({ timeLimitMs }: { readonly timeLimitMs?: number }): { timeLimitMs?: number } {
  if (timeLimitMs === undefined) return {}
  if (!(timeLimitMs >= 1 && timeLimitMs <= limits.TASK_TIME_LIMIT_MS_MAX)) {
    throw new TypeError(
      `timeLimitMs must be a number of milliseconds from 1 to ${limits.TASK_TIME_LIMIT_MS_MAX}.`,
    )
  }
  return { timeLimitMs }
}
