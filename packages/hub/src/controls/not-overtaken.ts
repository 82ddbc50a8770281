/** Keeps what is handed out true to decisions that are made but not yet committed. Pure. */
import type { IssuedControl } from '@downlink/protocol'
import type { Mailbox } from './mailbox.ts'

/**
 * Leaves out the controls of `mailbox` that a newer decision, on its way to the disk, has settled:
 * it counted on their never having been written, and would otherwise say so wrongly.
 */
export function notOvertaken(
  controls: readonly IssuedControl[],
  mailbox: Mailbox,
  decided: Mailbox | undefined,
): readonly IssuedControl[] {
  if (decided === undefined || decided.version <= mailbox.version) return controls
  const open = new Set(decided.open.map((entry) => entry.controlId))
  return controls.filter((control) => open.has(control.controlId))
}
