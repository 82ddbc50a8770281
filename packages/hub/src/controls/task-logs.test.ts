import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createTaskLogs } from './task-logs.ts'

describe('given the log of a task', () => {
  test('when tails overlap, repeat or follow > every line is there once', () => {
    const logs = createTaskLogs()
    logs.take('t', { nextLine: 2, lines: ['a', 'b'] })
    logs.take('t', { nextLine: 2, lines: ['a', 'b'] })
    logs.take('t', { nextLine: 4, lines: ['b', 'c', 'd'] })
    logs.take('t', { nextLine: 5, lines: ['e'] })
    expect(logs.read('t')).toEqual({ firstLine: 0, nextLine: 5, lines: ['a', 'b', 'c', 'd', 'e'] })
  })

  test('when lines are missing or the count goes back > it starts anew', () => {
    const logs = createTaskLogs()
    logs.take('t', { nextLine: 2, lines: ['a', 'b'] })
    logs.take('t', { nextLine: 9, lines: ['i'] })
    expect(logs.read('t')).toEqual({ firstLine: 8, nextLine: 9, lines: ['i'] })
    logs.take('t', { nextLine: 1, lines: ['new'] })
    expect(logs.read('t')).toEqual({ firstLine: 0, nextLine: 1, lines: ['new'] })
    logs.take('t', { nextLine: 0, lines: ['hostile', 'count'] })
    expect(logs.read('t')?.firstLine).toBe(0)
  })

  test('when an agent writes without end > bytes and tasks stay bounded, the newest are kept', () => {
    const logs = createTaskLogs()
    const line = 'x'.repeat(1_000)
    logs.take('t', { nextLine: 400, lines: Array.from({ length: 400 }, () => line) })
    const kept = logs.read('t')
    expect(kept?.lines.join('\n').length).toBeLessThanOrEqual(limits.TASK_LOG_KEPT_BYTES_MAX)
    expect([kept?.firstLine, kept?.nextLine]).toEqual([400 - (kept?.lines.length ?? 0), 400])
    for (let n = 0; n < limits.TASK_LOGS_PER_AGENT_MAX; n++) logs.take(`t${n}`, { nextLine: 1, lines: ['a'] })
    expect([logs.read('t'), logs.read('t0')?.nextLine]).toEqual([undefined, 1])
  })
})
