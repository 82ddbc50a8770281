/** Tests of the ids that the command makes up. */
import { isAgentId, type TaskRecord } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { agentIdOf } from './commands/agent.ts'
import { freeTaskId } from './sample-tasks.ts'

test.each([
  ['second', 'second'],
  ["Ann's laptop", 'Ann-s-laptop'],
  ['Büro', 'Buro'],
  ['../../etc', 'etc'],
  ['日本', 'agent'],
  ['-rf', 'rf'],
])('given the name %s > the id is %s, fit for a path and a command line', (name, id) => {
  expect(agentIdOf(name)).toBe(id)
  expect(isAgentId(id)).toBe(true)
})

test('given tasks of other kinds and names > the next number is above those of its kind', () => {
  const task = (taskId: string): TaskRecord => ({
    agentId: 'local',
    taskId,
    state: 'completed',
    changedAt: '2026-01-01T00:00:00.000Z',
  })
  expect(freeTaskId([], 'archive')).toBe('archive-1')
  expect(freeTaskId(['archive-2', 'archive-10', 'archive-x', 'hash-99'].map(task), 'archive')).toBe(
    'archive-11',
  )
})
