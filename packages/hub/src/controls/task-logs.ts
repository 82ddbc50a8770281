/** The last lines that each task of an agent wrote, pieced together from its syncs, within bounds. */
import { limits, type TaskLogTail } from '@downlink/protocol'

/** Lines `firstLine` up to, and not including, `nextLine`, counted from the task's first. */
export interface TaskLog {
  readonly firstLine: number
  readonly nextLine: number
  readonly lines: readonly string[]
}

/** The logs of one agent's tasks. */
export interface TaskLogs {
  /** Joins a tail to what is known; a gap, or a count that went back, starts anew. */
  take(taskId: string, tail: TaskLogTail): void
  read(taskId: string): TaskLog | undefined
}

/** Makes an empty set of logs. */
export function createTaskLogs(): TaskLogs {
  const logs = new Map<string, TaskLog>()
  return {
    take(taskId, tail) {
      const joined = joinTail(logs.get(taskId), tail)
      // Deleted first, so that the map's order is that of the last writing and the oldest goes first.
      logs.delete(taskId)
      logs.set(taskId, joined)
      if (logs.size <= limits.TASK_LOGS_PER_AGENT_MAX) return
      const [oldest] = logs.keys()
      if (oldest !== undefined) logs.delete(oldest)
    },
    read: (taskId) => logs.get(taskId),
  }
}

function joinTail(known: TaskLog | undefined, tail: TaskLogTail): TaskLog {
  const tailFirst = Math.max(0, tail.nextLine - tail.lines.length)
  const follows = known !== undefined && tailFirst <= known.nextLine && tail.nextLine >= known.nextLine
  const fresh = follows ? tail.lines.slice(known.nextLine - tailFirst) : tail.lines
  return cutToBounds([...(follows ? known.lines : []), ...fresh], tail.nextLine)
}

function cutToBounds(lines: readonly string[], nextLine: number): TaskLog {
  let first = lines.length
  let bytes = 0
  while (first > 0 && lines.length - first < limits.TASK_LOG_LINES_MAX) {
    bytes += Buffer.byteLength(lines[first - 1] ?? '') + 1
    if (bytes > limits.TASK_LOG_KEPT_BYTES_MAX) break
    first -= 1
  }
  const kept = lines.slice(first)
  return { firstLine: Math.max(0, nextLine - kept.length), nextLine, lines: kept }
}
