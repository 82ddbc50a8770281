/** Fits the answer to a sync into the bytes that an original agent reads; what is left out comes with the next. Pure. */
import { controlToJson, isStateVerb, limits, type IssuedControl } from '@downlink/protocol'
import type { SyncAnswer } from './lifecycle-sync.ts'

/** As much of an answer as fits. */
export interface FittedAnswer extends SyncAnswer {
  /** Something was left out, or has changed since: the agent should come again soon. */
  readonly isCut: boolean
}

// Field names, punctuation, `watching`, `nextSyncMs` and whatever small field comes next.
const FRAME_BYTES = 4_096

/** Controls first, then tasks. */
export function fitAnswer(answer: SyncAnswer, acknowledges: boolean): FittedAnswer {
  let left = limits.REPLY_BYTES_MAX - FRAME_BYTES - bytesOf(answer.acked)
  const takes = (value: unknown): boolean => {
    const bytes = bytesOf(value) + 1
    if (bytes > left) return false
    left -= bytes
    return true
  }
  const fitting = inOrder(answer.controls, acknowledges)
    .slice(0, limits.CONTROLS_PER_MESSAGE_MAX)
    .filter((control) => takes(controlToJson(control)))
  const newTasks = answer.newTasks.filter((task) => takes(task))
  // An agent refuses for good what concerns a task that it has not been given.
  const without = new Set(answer.newTasks.filter((task) => !newTasks.includes(task)).map((task) => task.id))
  const controls = acknowledges ? fitting.filter(({ taskId }) => !without.has(taskId)) : fitting
  const isCut =
    controls.length < answer.controls.length ||
    newTasks.length < answer.newTasks.length ||
    newTasks.length === limits.NEW_TASKS_PER_SYNC_MAX
  return { acked: answer.acked, controls, newTasks, isCut }
}

/** State verbs are small and urgent. An original's other verbs come first: they are handed out this once only. */
function inOrder(controls: readonly IssuedControl[], acknowledges: boolean): readonly IssuedControl[] {
  const state = controls.filter((control) => isStateVerb(control.action))
  const verbs = controls.filter((control) => !isStateVerb(control.action))
  return acknowledges ? [...state, ...verbs] : [...verbs, ...state]
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}
