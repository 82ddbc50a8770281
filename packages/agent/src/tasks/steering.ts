/** Tells a task what a control wants of it. */
import { DownlinkError, isStateVerb, type Json, type StateVerb } from '@downlink/protocol'
import type { IntendedState } from '../controls/ledger-records.ts'
import type { HeldTask } from './held-task.ts'

const WANTED: Record<StateVerb, IntendedState> = { cancel: 'cancelled', pause: 'paused', resume: 'running' }

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
  task.wanted = WANTED[action]
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
