/** Keeps what is handed out true to decisions that are made but not yet committed. Pure. */
import type { IssuedControl, NewTask } from '@downlink/protocol'
import type { Mailbox } from './mailbox.ts'

/**
 * Leaves out the controls of `mailbox` that a newer decision, on its way to the disk, has settled:
 * it counted on their never having been written, and would otherwise say so wrongly.
 */
export function notOvertaken<C extends IssuedControl>(
  controls: readonly C[],
  mailbox: Mailbox,
  decided: Mailbox | undefined,
): readonly C[] {
  if (decided === undefined || decided.version <= mailbox.version) return controls
  const open = new Set(decided.open.map((entry) => entry.controlId))
  return controls.filter((control) => open.has(control.controlId))
}

/**
 * Leaves out the tasks that an original must not start any more: a newer decision pauses or cancels them, or has
 * settled the resume that they came with. @param controls - those that go out with them.
 */
export function tasksNotOvertaken(
  tasks: readonly NewTask[],
  controls: readonly IssuedControl[],
  mailbox: Mailbox,
  decided: Mailbox | undefined,
): readonly NewTask[] {
  if (decided === undefined || decided.version <= mailbox.version) return tasks
  return tasks.filter(({ id }) => {
    const open = decided.open.find((entry) => entry.taskId === id && entry.lane === 'state')
    if (open !== undefined) return controls.some((control) => control.controlId === open.controlId)
    return decided.tasks.some((task) => task.taskId === id && task.state === 'assigned')
  })
}
