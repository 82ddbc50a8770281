/** Tells a task what a control wants of it. */
import { DownlinkError, isStateVerb, type Json } from '@downlink/protocol'
import { intendedBy } from '../controls/ledger-state.ts'
import type { HeldTask } from './held-task.ts'

/**
 * Resolves once the task has been told; one without a run only remembers it.
 * @throws what the run says if it cannot; then the task is meant to be as before.
 */
export async function steer(task: HeldTask, action: string, args: Json): Promise<void> {
  if (!isStateVerb(action)) {
    if (task.run === undefined) {
      throw new DownlinkError(
        'task_not_running',
        `Task ${task.taskId} waits to be started; ${action} needs it to run.`,
      )
    }
    await task.run.applyVerb(action, args)
    return
  }
  const before = task.wanted
  task.wanted = intendedBy(action)
  if (action === 'cancel') task.watch?.toldToEnd()
  if (action === 'resume') task.watch?.resumed()
  try {
    await task.run?.[action]()
  } catch (error) {
    task.wanted = before
    throw error
  }
  if (action === 'pause') task.watch?.paused()
}
