/** What a task says of itself in a sync, and its reader. */
import { field, integerField, isJsonObject, stringField, type Json, type JsonObject } from './json.ts'
import * as limits from './limits.ts'
import { optionalSentences, optionalTexts } from './optional-texts.ts'

/** What a task says of itself. Ours report these words; an original may report any other, and an empty one. */
export type TaskStatus = 'queued' | 'running' | 'paused' | 'cancelled' | 'completed' | 'failed'

const TERMINAL = new Set(['cancelled', 'completed', 'failed', 'error'])
/** Whether `status` says that a task is over. */
export function isTerminalStatus(status: string): boolean {
  return TERMINAL.has(status)
}

/** The last lines of a task's output; `nextLine` counts every line it ever wrote. */
export interface TaskLogTail {
  readonly nextLine: number
  readonly lines: readonly string[]
}

/** One task as its agent reports it. */
export interface TaskReport {
  readonly taskId: string
  readonly status: string
  /** 0 to 1. */
  readonly progress: number
  /** Milliseconds since the Unix epoch, by the agent's clock. */
  readonly updatedAt: number
  readonly errorMessage?: string
  /** Why it failed, for programs: `timed_out`, `interrupted`, `bad_input`, or what the application says. */
  readonly errorCode?: string
  /** It was told to end, by a cancel or its time limit, and still runs after a grace. */
  readonly unresponsive?: true
  readonly kind?: string
  readonly message?: string
  readonly result?: Json
  readonly log?: TaskLogTail
}

/** A task's report, or undefined if it has no id; what does not fit is left out. */
export function parseTaskReport(value: Json): TaskReport | undefined {
  if (!isJsonObject(value)) return undefined
  const taskId = stringField(value, 'taskId', limits.ID_CHARS_MAX)
  if (taskId === undefined) return undefined
  const progress = field(value, 'progress')
  const updatedAt = field(value, 'updatedAt')
  const result = field(value, 'result')
  const log = parseLog(field(value, 'log'))
  return {
    taskId,
    status: stringField(value, 'status', 32) ?? '',
    progress:
      typeof progress === 'number' && Number.isFinite(progress) ? Math.min(1, Math.max(0, progress)) : 0,
    updatedAt: typeof updatedAt === 'number' && Number.isFinite(updatedAt) ? updatedAt : 0,
    ...optionalTexts(value, ['kind', 'errorCode']),
    ...(field(value, 'unresponsive') === true ? { unresponsive: true as const } : {}),
    ...optionalSentences(value, ['errorMessage', 'message']),
    ...(result === undefined || JSON.stringify(result).length > limits.TASK_RESULT_BYTES_MAX
      ? {}
      : { result }),
    ...(log === undefined ? {} : { log }),
  }
}

function parseLog(value: Json | undefined): TaskLogTail | undefined {
  if (!isJsonObject(value ?? null)) return undefined
  const object = value as JsonObject
  const nextLine = integerField(object, 'nextLine', 0, Number.MAX_SAFE_INTEGER)
  if (nextLine === undefined) return undefined
  const all = field(object, 'lines')
  const lines = (Array.isArray(all) ? (all as readonly Json[]) : [])
    // The newest are the ones that somebody looks for.
    .slice(-limits.TASK_LOG_LINES_MAX)
    .filter((line) => typeof line === 'string')
    .map((line) => line.slice(0, limits.TASK_LOG_LINE_BYTES_MAX))
  return { nextLine, lines }
}
