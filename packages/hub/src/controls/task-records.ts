/** Tasks as operators see them: what the mailbox holds, joined with what the last sync showed. Pure. */
import { isTerminalStatus, type TaskRecord, type TaskState } from '@downlink/protocol'
import type { AgentMemory, ReportedTask } from './agent-memory.ts'
import type { Mailbox, TaskEntry } from './mailbox.ts'

/** All tasks of an agent that the hub knows of, the hub's own first, then those that only the agent knows. */
export function taskRecords(mailbox: Mailbox, memory: AgentMemory | undefined): readonly TaskRecord[] {
  const diverged = new Set(mailbox.settled.filter((entry) => entry.diverged).map((entry) => entry.taskId))
  const own = new Set(mailbox.tasks.map((task) => task.taskId))
  const reported = memory?.tasks ?? new Map<string, ReportedTask>()
  const { agentId } = mailbox
  return [
    ...mailbox.tasks.map((task) => hubTask(agentId, task, reported.get(task.taskId))),
    ...[...reported.values()]
      .filter(({ report }) => !own.has(report.taskId))
      .map((task) => agentTask(agentId, task)),
  ].map((record) => (diverged.has(record.taskId) ? { ...record, diverged: true as const } : record))
}

function hubTask(agentId: string, task: TaskEntry, reported: ReportedTask | undefined): TaskRecord {
  const { taskId, kind, state, errorMessage, errorCode, result, changedAtMs } = task
  return {
    agentId,
    taskId,
    kind,
    state,
    ...(reported === undefined ? {} : liveFields(reported)),
    ...(errorMessage === undefined ? {} : { errorMessage }),
    ...(errorCode === undefined ? {} : { errorCode }),
    ...(result === undefined ? {} : { result }),
    changedAt: new Date(changedAtMs).toISOString(),
  }
}

function agentTask(agentId: string, reported: ReportedTask): TaskRecord {
  const { report, changedAtMs } = reported
  return {
    agentId,
    taskId: report.taskId,
    ...(report.kind === undefined ? {} : { kind: report.kind }),
    state: stateOfStatus(report.status),
    ...liveFields(reported),
    ...(report.errorMessage === undefined ? {} : { errorMessage: report.errorMessage }),
    ...(report.errorCode === undefined ? {} : { errorCode: report.errorCode }),
    ...(report.result === undefined ? {} : { result: report.result }),
    changedAt: new Date(changedAtMs).toISOString(),
  }
}

function liveFields({ report }: ReportedTask): Pick<TaskRecord, 'progress' | 'message' | 'unresponsive'> {
  return {
    progress: report.progress,
    ...(report.message === undefined ? {} : { message: report.message }),
    ...(report.unresponsive === undefined ? {} : { unresponsive: report.unresponsive }),
  }
}

/** An original says nothing while a task stands still or waits, and words of its own while it works. */
function stateOfStatus(status: string): TaskState {
  if (status === '' || status === 'queued') return 'queued'
  if (status === 'paused') return 'paused'
  if (!isTerminalStatus(status)) return 'running'
  return status === 'cancelled' || status === 'completed' ? status : 'failed'
}
