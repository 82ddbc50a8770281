/** Tells of every change of a task's or an agent's state, one line each. */
import type { OperatorClient } from '@downlink/client'
import { delay, type AgentPresence, type Clock, type TaskState } from '@downlink/protocol'
import { taskStateCell } from './wording.ts'

/** Time between two looks, ms. */
const WATCH_MS = 1_000

/** What is known of the states that were told. */
export interface WatchOptions {
  readonly client: OperatorClient
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly tell: (line: string) => void
}

/** Looks every second until the signal aborts, and then throws its reason. What is so at the first look is not told. */
export async function watchStates({ client, clock, signal, tell }: WatchOptions): Promise<never> {
  const agents = new Map<string, AgentPresence>()
  const tasks = new Map<string, TaskState>()
  for (let isFirst = true; ; isFirst = false) {
    for await (const agent of client.agents({ signal })) {
      const { agentId, status } = agent
      if (!isFirst && agents.get(agentId) !== status) tell(`agent ${agentId}: ${status}`)
      agents.set(agentId, status)
      for await (const task of client.tasks(agentId, { signal })) {
        const name = `${agentId} ${task.taskId}`
        const before = tasks.get(name)
        tasks.set(name, task.state)
        if (isFirst || before === task.state) continue
        const reason = task.state === 'failed' ? `: ${task.errorMessage ?? 'no reason given'}` : ''
        tell(`${name}: ${before === undefined ? '' : `${wordOf(before)} -> `}${wordOf(task.state)}${reason}`)
      }
    }
    await delay(clock, WATCH_MS, signal)
  }
}

function wordOf(state: TaskState): string {
  const cell = taskStateCell(state, false)
  return typeof cell === 'string' ? cell : cell.text
}
