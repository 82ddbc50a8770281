/** The two sample tasks that `downlink up` keeps busy with, and the ids it gives them. */
import type { OperatorClient } from '@downlink/client'
import type { Json, TaskRecord } from '@downlink/protocol'
import { join } from 'node:path'
import { makePrivateFolder } from './discovery.ts'
import { isFinished } from './wording.ts'

/** What was started or is still under way. */
export interface SampleTask {
  readonly taskId: string
  readonly kind: 'archive' | 'hash'
  /** Whether an earlier start of the command began it. */
  readonly isOld: boolean
}

/** Starts `archive` and `hash` on `agentId`, but for those that are unfinished: these go on. */
export async function startSampleTasks(
  client: OperatorClient,
  agentId: string,
  dataPath: string,
  signal: AbortSignal,
): Promise<readonly SampleTask[]> {
  const tasks = await tasksByAgent(client, agentId, signal)
  const samples: SampleTask[] = []
  for (const kind of ['archive', 'hash'] as const) {
    const old = tasks.find((task) => task.kind === kind && !isFinished(task.state))
    if (old !== undefined) {
      samples.push({ taskId: old.taskId, kind, isOld: true })
      continue
    }
    const taskId = freeTaskId(tasks, kind)
    await client.start(agentId, kind, await inputOf(kind, taskId, dataPath), { taskId, signal })
    samples.push({ taskId, kind, isOld: false })
  }
  return samples
}

/** Where an archive task leaves its files. */
export function archiveFolder(dataPath: string, taskId: string): string {
  return join(dataPath, 'work', taskId)
}

/** `KIND-N` with the first number above those of `tasks`. */
export function freeTaskId(tasks: readonly TaskRecord[], kind: string): string {
  const taken = tasks.map(({ taskId }) =>
    taskId.startsWith(`${kind}-`) ? Number(/^\d{1,9}$/.exec(taskId.slice(kind.length + 1))?.[0] ?? 0) : 0,
  )
  return `${kind}-${Math.max(0, ...taken) + 1}`
}

/** The tasks of one agent as they stand. */
export async function tasksByAgent(
  client: OperatorClient,
  agentId: string,
  signal: AbortSignal,
): Promise<readonly TaskRecord[]> {
  const tasks: TaskRecord[] = []
  for await (const task of client.tasks(agentId, { signal })) tasks.push(task)
  return tasks
}

async function inputOf(kind: 'archive' | 'hash', taskId: string, dataPath: string): Promise<Json> {
  if (kind === 'hash') return { seconds: 75 }
  const folder = archiveFolder(dataPath, taskId)
  await makePrivateFolder(folder)
  return { folder, files: 60 }
}
