import { limits } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { createTestClock } from '../testing/test-clock.ts'
import { createHeldTask, type HeldTask } from './held-task.ts'
import { HeldTasks } from './held-tasks.ts'

const clock = createTestClock()
const taskOf = (taskId: string): HeldTask =>
  createHeldTask({ taskId, kind: 'work', input: null }, true, 'running', clock)
const ids = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `t${index}`)

test('given as many tasks as an agent holds > one more is refused, and one that is over may be tracked again', () => {
  const tasks = new HeldTasks()
  const held = ids(limits.AGENT_TASKS_MAX).map((taskId) => tasks.hold(taskOf(taskId)))
  expect(() => tasks.requireRoomFor('one-more')).toThrow(expect.objectContaining({ code: 'too_many_tasks' }))
  expect(() => tasks.requireRoomFor('t0')).toThrow(expect.objectContaining({ code: 'task_exists' }))
  const [first] = held
  if (first !== undefined) first.end = { status: 'completed' }
  expect(() => tasks.requireRoomFor('t0')).not.toThrow()
})

test('given tasks that the hub knows to be over > the last DROPPED_TASKS_MAX are remembered', () => {
  const tasks = new HeldTasks()
  for (const taskId of ids(limits.DROPPED_TASKS_MAX + 1)) tasks.drop(tasks.hold(taskOf(taskId)))
  expect(tasks.size).toBe(0)
  expect([tasks.hasHeld('t0'), tasks.hasHeld('t1')]).toEqual([false, true])
  expect(tasks.answer('t0', 'cancel')).toMatchObject({ code: 'task_unknown' })
  expect(tasks.answer('t1', 'pause')).toMatchObject({ code: 'already_finished' })
})
