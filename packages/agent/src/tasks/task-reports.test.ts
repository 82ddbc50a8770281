/** The bounds of what a sync carries: log tails and reports. */
import { limits, type TaskReport } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { createHeldTask, type HeldTask } from './held-task.ts'
import { TaskLog } from './task-log.ts'
import { reportTasks } from './task-reports.ts'

const clock = createTestClock()
const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))

function ended(taskId: string, result: string): HeldTask {
  const task = createHeldTask({ taskId, kind: 'job', input: null }, false, 'running', clock)
  return Object.assign(task, { status: 'completed', end: { status: 'completed', result }, endKept: true })
}

describe('given a task log', () => {
  test('when it is longer than its bounds > the newest lines are kept, and all are counted', () => {
    const log = new TaskLog()
    for (let line = 0; line < 5_000; line++) log.add(`line ${line}`)
    const { nextLine, lines } = log.tail(limits.TASK_LOG_SYNC_BYTES_MAX)
    expect([nextLine, lines.length, lines.at(-1)]).toEqual([5_000, limits.TASK_LOG_LINES_MAX, 'line 4999'])
    expect(log.tail(30).lines).toEqual(['line 4998', 'line 4999'])
  })

  test.each(['x', 'ü', '😀', '\u0001', '"'])(
    'when a line is of %j without end > it is cut within its bytes',
    (one) => {
      const log = new TaskLog()
      log.add(one.repeat(100_000))
      log.add('after')
      const [cut, after] = log.tail(limits.TASK_LOG_SYNC_BYTES_MAX).lines
      expect(jsonBytes(cut)).toBeLessThanOrEqual(limits.TASK_LOG_LINE_BYTES_MAX)
      expect(cut).toMatch(/…$/)
      expect(cut?.isWellFormed(), 'a character was cut in two').toBe(true)
      expect(after).toBe('after')
    },
  )
})

describe('given more than one sync may carry', () => {
  test('when many ended tasks have large results > every sync fits, and all ends are said in turn', () => {
    const bytesMax = 200_000
    let tasks = Array.from({ length: 60 }, (_, index) => ended(`t${index}`, '\u0001'.repeat(2_000)))
    const said = new Set<string>()
    for (let sync = 0; tasks.length > 0; sync++) {
      expect(sync, 'a sync without progress: the agent would be stuck').toBeLessThan(60)
      const { reports, isCut } = reportTasks(tasks, bytesMax)
      expect(jsonBytes(reports)).toBeLessThanOrEqual(bytesMax + reports.length)
      expect(
        reports.map((report) => report.taskId),
        'every task is listed',
      ).toHaveLength(tasks.length)
      for (const report of reports) if (report.status === 'completed') said.add(report.taskId)
      tasks = tasks.filter((task) => !said.has(task.taskId))
      expect(isCut).toBe(tasks.length > 0)
    }
  })

  test('when chatty tasks run > the last lines of an ended one still go out first', () => {
    const lines = (task: HeldTask): void => {
      for (let line = 0; line < 20; line++) task.log.add('x'.repeat(1_000))
    }
    const running = Array.from({ length: 30 }, (_, index) =>
      createHeldTask({ taskId: `r${index}`, kind: 'job', input: null }, false, 'running', clock),
    )
    const over = ended('over', 'done')
    for (const task of [...running, over]) lines(task)
    const { reports, isCut } = reportTasks([...running, over], 800_000)
    const logs = reports.flatMap((report: TaskReport) => report.log ?? [])
    expect(reports.at(-1)?.log?.nextLine).toBe(20)
    expect(jsonBytes(logs)).toBeLessThanOrEqual(limits.SYNC_LOG_BYTES_MAX + 31)
    expect(isCut, 'running tasks are not a reason to sync again at once').toBe(false)
  })
})
