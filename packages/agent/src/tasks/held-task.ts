/** One task that the agent holds, and what may still be said to it. */
import { limits, type Clock, type Json, type TaskStatus } from '@downlink/protocol'
import type { IntendedState, Outcome, TaskEndRecord } from '../controls/ledger-records.ts'
import type { TaskReporter, TaskRun } from './executor.ts'
import type { RunWatch } from './run-watch.ts'
import { TaskLog } from './task-log.ts'

/** A task, its run if it has one, and its end once it has come. */
export interface HeldTask {
  readonly taskId: string
  readonly kind: string
  readonly input: Json
  /** The application runs it by itself. */
  readonly tracked: boolean
  readonly log: TaskLog
  status: TaskStatus
  /** What it was last told to be. */
  wanted: IntendedState
  /** What an earlier life of the agent left running of it is being ended; until then it neither starts nor ends. */
  isReaping: boolean
  /** The hub's word about it is on its way to being applied: it does not start before. */
  isHeldBack: boolean
  progress: number
  updatedAtMs: number
  loggedLines: number
  message?: string
  run?: TaskRun
  watch?: RunWatch
  /** Its time was over and it was told to end. */
  isTimedOut: boolean
  /** It was told to end and has not, for longer than `UNRESPONSIVE_MS`. */
  isUnresponsive: boolean
  end?: TaskEndRecord
  /** The end is on disk, so it may be reported. */
  endKept: boolean
}

/** What makes a task. */
export interface TaskFacts {
  readonly taskId: string
  readonly kind: string
  readonly input: Json
}

/** A task that waits to be started. */
export function createHeldTask(
  { taskId, kind, input }: TaskFacts,
  tracked: boolean,
  wanted: IntendedState,
  clock: Clock,
): HeldTask {
  return {
    taskId,
    kind,
    input,
    tracked,
    log: new TaskLog(),
    status: 'queued',
    wanted,
    isReaping: false,
    isHeldBack: false,
    isTimedOut: false,
    isUnresponsive: false,
    progress: 0,
    updatedAtMs: clock.wallMs(),
    loggedLines: 0,
    endKept: false,
  }
}

/** Whether it holds a slot, or will as soon as there is one. */
export function isBusy(task: HeldTask): boolean {
  return !task.tracked && task.end === undefined && (task.run !== undefined || task.wanted === 'running')
}

/** What a run tells about its task. */
export function reporterOf(task: HeldTask, clock: Clock, keepFacts: TaskReporter['keepFacts']): TaskReporter {
  return {
    progress(fraction, message) {
      task.progress = Math.min(1, Math.max(0, Number.isFinite(fraction) ? fraction : 0))
      if (message !== undefined) task.message = message.slice(0, limits.MESSAGE_CHARS_MAX)
      task.updatedAtMs = clock.wallMs()
    },
    log: (line) => task.log.add(line),
    keepFacts,
  }
}

/** The outcome of a control that the task's own state decides, or undefined if the task has to be told. */
export function answerOf(task: HeldTask, action: string): Outcome | undefined {
  if (task.end !== undefined) return answerOfEnded(task.taskId, task.end.status, action)
  if (task.wanted === 'cancelled' && (action === 'pause' || action === 'resume')) {
    return fail('task_cancelling', `Task ${task.taskId} is being cancelled; ${action} came too late.`)
  }
  if (task.isTimedOut && (action === 'pause' || action === 'resume')) {
    return fail('task_cancelling', `Task ${task.taskId} has run out of its time; ${action} came too late.`)
  }
  return undefined
}

/** The outcome of a control of a task that is over. */
export function answerOfEnded(taskId: string, status: string, action: string): Outcome {
  if (status === 'cancelled' && action === 'cancel') return { state: 'applied' }
  return fail('already_finished', `Task ${taskId} has ended as ${status}; ${action} came too late.`)
}

/** A failed outcome. */
export function fail(code: string, message: string): Outcome {
  return { state: 'failed', code, message: message.slice(0, limits.MESSAGE_CHARS_MAX) }
}
