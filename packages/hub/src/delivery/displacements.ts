/** Whether one more stream or poll of an original may take the place of the one before: two copies would fight for ever. Pure. */
import { limits } from '@downlink/protocol'

/** What is decided about a displacement. */
export type Displacement =
  /** `times` are those of the last displacements, this one included, to be handed in with the next. */
  | { readonly isAdmitted: true; readonly times: readonly number[] }
  | { readonly isAdmitted: false; readonly retryAfterMs: number }

/** Decides about a displacement at `nowMs`. @param times - those of the earlier ones, oldest first, on the same clock. */
export function decideDisplacement(times: readonly number[], nowMs: number): Displacement {
  const recent = times.filter((time) => nowMs - time < limits.ORIGINAL_DISPLACEMENTS_MS)
  const [oldest] = recent
  if (oldest === undefined || recent.length < limits.ORIGINAL_DISPLACEMENTS_MAX) {
    return { isAdmitted: true, times: [...recent, nowMs] }
  }
  return { isAdmitted: false, retryAfterMs: oldest + limits.ORIGINAL_DISPLACEMENTS_MS - nowMs }
}
