/** Tests of what operators are shown of a task. */
import type { TaskReport } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { createAgentMemories, rememberSync } from './agent-memory.ts'
import { emptyMailbox } from './mailbox.ts'
import { taskRecords } from './task-records.ts'

function shown(report: Partial<TaskReport>) {
  const memory = createAgentMemories().of('a1')
  const task = { taskId: 't1', status: 'running', progress: 0, updatedAt: 0, ...report }
  rememberSync(
    memory,
    { agentId: 'a1', tasks: [task], freeSlots: 0, outcomes: [], received: [], decisions: [] },
    0,
  )
  return taskRecords(emptyMailbox('a1'), memory)[0]
}

test('given a task that ignores a cancel > it is shown as running and unresponsive, never as cancelled', () => {
  expect(shown({ unresponsive: true })).toMatchObject({ state: 'running', unresponsive: true })
  expect(shown({}), 'and no longer once it is not said').not.toHaveProperty('unresponsive')
})

test('given a task that failed > why is shown for people and for programs', () => {
  expect(
    shown({ status: 'failed', errorCode: 'timed_out', errorMessage: 'It took too long.' }),
  ).toMatchObject({ state: 'failed', errorCode: 'timed_out', errorMessage: 'It took too long.' })
})
