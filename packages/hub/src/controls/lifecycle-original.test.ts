/** Agents that send no ids and acknowledge nothing. */
import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { controlIds, MailboxBench, newTaskIds, taskReport } from '../../../testkit/src/mailbox-bench.ts'
import { fitAnswer } from './sync-reply.ts'

/** An original at work on the hub-made task `t1`, with a control that was just asked for. */
function original(action?: string): MailboxBench {
  const bench = new MailboxBench()
  bench.task('t1', { input: { path: 'a' } })
  bench.originalSync({ t1: 'downloading' })
  if (action !== undefined) bench.control({ controlId: 'x1', action })
  bench.pass(1_000)
  return bench
}

const openIds = (bench: MailboxBench): readonly string[] => bench.mailbox.open.map((entry) => entry.controlId)

/** One more sync, ten seconds later. */
function next(bench: MailboxBench, tasks: Record<string, string>, agoMs = 0) {
  bench.pass(10_000)
  return bench.originalSync(tasks, agoMs)
}

describe.each(['cancel', 'pause'])('given an original and an open %s (R-40, R-41)', (action) => {
  test('the task stays listed > handed out in every sync', () => {
    const bench = original(action)
    for (let count = 0; count < 4; count++) {
      expect(controlIds(next(bench, { t1: 'downloading' }))).toEqual(['x1'])
    }
    expect(openIds(bench)).toEqual(['x1'])
  })

  test('absent in two syncs in a row > settled by observation; cancelled only if a cancel was handed out', () => {
    const bench = original(action)
    next(bench, { t1: 'downloading' })
    expect(controlIds(next(bench, {})), 'once is not enough').toEqual(['x1'])
    expect(controlIds(next(bench, {}))).toEqual([])
    expect(bench.outcome('x1')).toEqual({ state: 'applied', confirmedBy: 'observation' })
    expect(bench.taskState('t1')).toBe(action === 'cancel' ? 'cancelled' : 'gone')
  })

  test('absent, but never offered again meanwhile > the agent would start what it has just stopped', () => {
    const bench = original(action)
    next(bench, { t1: 'downloading' })
    const answers = [next(bench, { t1: '' }), next(bench, {}), next(bench, {}), next(bench, {})]
    expect(answers.flatMap(newTaskIds), 'hand out only tasks that were never listed').toEqual([])
  })

  test('absent, listed, absent > not two in a row', () => {
    const bench = original(action)
    for (const tasks of [{}, {}, { t1: 'downloading' }, {}]) next(bench, tasks)
    expect(openIds(bench)).toEqual(['x1'])
    next(bench, {})
    expect(bench.state('x1')).toBe('applied')
  })

  test('absent in syncs that began before the write > does not count', () => {
    const bench = original(action)
    next(bench, { t1: 'downloading' })
    for (let count = 0; count < 3; count++) {
      bench.pass(10)
      bench.originalSync({}, 1_000)
    }
    expect(openIds(bench)).toEqual(['x1'])
  })

  test('listed with an empty status > not settled yet', () => {
    const bench = original(action)
    for (let count = 0; count < 4; count++) next(bench, { t1: '' })
    expect(openIds(bench)).toEqual(['x1'])
  })

  test('reported completed once, then absent > the first of the two counts, and completed stays', () => {
    const bench = original(action)
    next(bench, { t1: 'downloading' })
    next(bench, { t1: 'completed' })
    next(bench, {})
    expect(bench.taskState('t1'), 'completed always wins').toBe('completed')
    expect(bench.mailbox.open).toEqual([])
  })

  test('reported completed once, as originals do > failed: already_finished, not applied', () => {
    const bench = original(action)
    for (const tasks of [{ t1: 'downloading' }, { t1: 'completed' }, {}]) next(bench, tasks)
    expect(bench.outcome('x1')).toMatchObject({ state: 'failed', code: 'already_finished' })
  })

  test('reported completed before the hub knew of its own write > not applied either', () => {
    const bench = original(action)
    for (const tasks of [{ t1: 'completed' }, {}, {}]) next(bench, tasks)
    expect(bench.outcome('x1')).toMatchObject({ state: 'failed', code: 'already_finished' })
  })

  test('reported completed twice > failed: already_finished', () => {
    const bench = original(action)
    for (const tasks of [{ t1: 'downloading' }, { t1: 'completed' }, { t1: 'completed' }]) next(bench, tasks)
    expect(bench.outcome('x1')).toMatchObject({ state: 'failed', code: 'already_finished' })
  })

  test('the hub restarts > it is handed out again, and needs two syncs after that', () => {
    const bench = original(action)
    next(bench, { t1: 'downloading' })
    bench.restart()
    expect(controlIds(next(bench, {}))).toEqual(['x1'])
    expect(controlIds(next(bench, {}))).toEqual(['x1'])
    next(bench, {})
    expect(bench.state('x1')).toBe('applied')
  })

  test('of a task that was never offered > the task is not started meanwhile', () => {
    const bench = new MailboxBench()
    bench.task('t1')
    bench.control({ controlId: 'x1', action })
    const answers = [next(bench, {}), next(bench, {}), next(bench, {})]
    expect(answers.flatMap(newTaskIds)).toEqual([])
    expect(bench.state('x1')).toBe('applied')
  })
})

describe('given an original and a cancel that was observed', () => {
  test('the task shows up again > diverged, and shown as it is', () => {
    const bench = original('cancel')
    for (let count = 0; count < 3; count++) next(bench, {})
    expect(bench.taskState('t1')).toBe('cancelled')
    next(bench, { t1: 'downloading' })
    expect(bench.entry('x1').diverged).toBe(true)
    expect(bench.taskState('t1')).toBe('running')
  })
})

describe('given an original and a task that runs again after its cancel', () => {
  test('it is missing in one sync > not shown as cancelled by the old cancel', () => {
    const bench = original('cancel')
    for (const tasks of [{}, {}, {}, { t1: 'downloading' }, {}]) next(bench, tasks)
    expect(bench.taskState('t1')).toBe('running')
    next(bench, {})
    expect(bench.taskState('t1'), 'no cancel was handed out since').toBe('gone')
  })
})

describe('given an original and a task that nobody stops (R-41)', () => {
  test('missing in two syncs in a row > gone, not at work for ever: its report of the end was lost', () => {
    const bench = original()
    for (const tasks of [{ t1: 'downloading' }, {}, { t1: 'downloading' }, {}]) next(bench, tasks)
    expect(bench.taskState('t1'), 'once is not enough').toBe('running')
    next(bench, {})
    expect(bench.taskState('t1')).toBe('gone')
    next(bench, { t1: 'downloading' })
    expect(bench.taskState('t1')).toBe('running')
  })

  test('paused after a cancel that expired > gone, as no cancel settled', () => {
    const bench = original()
    bench.control({ controlId: 'c1', action: 'cancel', ttlMs: 15_000 })
    next(bench, { t1: 'downloading' })
    next(bench, { t1: 'downloading' })
    bench.control({ controlId: 'p1', action: 'pause' })
    for (const tasks of [{ t1: '' }, {}, {}]) next(bench, tasks)
    expect([bench.state('c1'), bench.state('p1'), bench.taskState('t1')]).toEqual([
      'expired',
      'applied',
      'gone',
    ])
  })
})

describe('given an original and an open resume (R-42)', () => {
  /** The task was paused and is gone from the list. */
  function paused(): MailboxBench {
    const bench = original('pause')
    for (let count = 0; count < 3; count++) next(bench, {})
    bench.control({ controlId: 'r1', action: 'resume' })
    return bench
  }

  test('it is handed out > with its task in newTasks, input and all', () => {
    const answer = paused().originalSync()
    expect(controlIds(answer)).toEqual(['r1'])
    expect(answer.newTasks).toEqual([{ id: 't1', kind: 'work', input: { path: 'a' } }])
  })

  test('its own handler syncs at once > at most once in 10 s', () => {
    const bench = paused()
    bench.originalSync()
    for (let count = 0; count < 9; count++) {
      bench.pass(1_000)
      const answer = bench.originalSync()
      expect([...controlIds(answer), ...newTaskIds(answer)], 'it would loop').toEqual([])
    }
    bench.pass(1_000)
    expect(newTaskIds(bench.originalSync())).toEqual(['t1'])
  })

  test('listed active in a sync begun after the write > applied by observation', () => {
    const bench = paused()
    bench.originalSync()
    bench.pass(100)
    bench.originalSync({ t1: 'downloading' }, 500)
    expect(openIds(bench), 'begun before the write').toEqual(['r1'])
    bench.pass(1_000)
    bench.originalSync({ t1: 'downloading' })
    expect(bench.outcome('r1')).toEqual({ state: 'applied', confirmedBy: 'observation' })
  })

  test.each(['', 'paused', 'completed'])('listed as "%s" > is not active', (status) => {
    const bench = paused()
    bench.originalSync()
    bench.pass(1_000)
    bench.originalSync({ t1: status })
    expect(bench.state('r1')).not.toBe('applied')
  })

  test('the task has finished meanwhile > failed: already_finished, and it is not started once more', () => {
    const bench = original('resume')
    const answer = next(bench, { t1: 'completed' })
    expect(newTaskIds(answer)).toEqual([])
    expect(bench.outcome('x1')).toMatchObject({ state: 'failed', code: 'already_finished' })
  })

  test('it superseded a pause that was not settled > still at most once in 10 s', () => {
    const bench = original('pause')
    next(bench, { t1: 'downloading' })
    next(bench, { t1: '' })
    bench.control({ controlId: 'r1', action: 'resume' })
    expect(newTaskIds(next(bench, {}))).toEqual(['t1'])
    bench.pass(1_000)
    expect(newTaskIds(bench.originalSync()), 'listing it in each sync would loop').toEqual([])
  })

  test('of a task that only the agent knows > its id alone stands in newTasks', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'r1', action: 'resume', taskId: 'own' })
    expect(bench.originalSync().newTasks).toEqual([{ id: 'own' }])
  })

  test('more resumes than newTasks has room for > no resume goes out without its task', () => {
    const bench = new MailboxBench()
    const count = limits.NEW_TASKS_PER_SYNC_MAX + 3
    for (let index = 0; index < count; index++) {
      bench.control({ controlId: `r${index}`, action: 'resume', taskId: `t${index}` })
    }
    const first = bench.originalSync()
    expect(controlIds(first)).toHaveLength(newTaskIds(first).length)
    const second = next(bench, {})
    expect(new Set([...newTaskIds(first), ...newTaskIds(second)]).size).toBeGreaterThan(0)
  })
})

describe('given an original and a custom verb (R-40)', () => {
  test('it is handed out > once, and recorded as delivered (unconfirmed)', () => {
    const bench = original('boost')
    expect(controlIds(next(bench, { t1: 'downloading' }))).toEqual(['x1'])
    expect(bench.entry('x1')).toMatchObject({ outcome: { state: 'delivered' }, unconfirmed: true })
    expect(bench.entry('x1').stamps.written).toBeDefined()
    bench.restart()
    expect(controlIds(next(bench, { t1: 'downloading' })), 'not once more, whatever happens').toEqual([])
  })

  test('a queue > goes out in order, one in each sync', () => {
    const bench = original('boost')
    bench.control({ controlId: 'x2', action: 'boost' })
    expect(controlIds(next(bench, { t1: 'downloading' }))).toEqual(['x1'])
    expect(controlIds(next(bench, { t1: 'downloading' }))).toEqual(['x2'])
  })
})

describe('given an original and more verbs than a reply holds', () => {
  test('what does not fit > stays open, and goes out with a later one', () => {
    const bench = new MailboxBench()
    const args = { text: 'y'.repeat(limits.CONTROL_ARGS_BYTES_MAX - 20) }
    const count = 60
    for (let index = 0; index < count; index++) {
      bench.control({ controlId: `b${index}`, action: 'boost', taskId: `t${index}`, args })
    }
    const sent = new Set<string>()
    while (bench.mailbox.open.length > 0) {
      const fitted = fitAnswer(next(bench, {}), false)
      expect(fitted.controls.length, 'each reply must carry some').toBeGreaterThan(0)
      for (const { controlId } of fitted.controls) sent.add(controlId)
    }
    expect(sent.size, 'nothing may be recorded as delivered that was cut from its reply').toBe(count)
  })
})

describe('given an original and new tasks', () => {
  test('it has free slots > as many are offered, in order, until they are listed', () => {
    const bench = new MailboxBench()
    for (const taskId of ['t1', 't2', 't3']) bench.task(taskId)
    expect(newTaskIds(bench.originalSync({}, 0, 2))).toEqual(['t1', 't2'])
    expect(newTaskIds(bench.originalSync({ t1: 'queued' }, 0, 1))).toEqual(['t2'])
  })

  test('a task that it listed and lists no longer > is not started again', () => {
    const bench = new MailboxBench()
    bench.task('t1')
    bench.originalSync({ t1: '' }, 0, 2)
    expect(
      newTaskIds(bench.originalSync({}, 0, 2)),
      'its user stopped it, or its last report was lost',
    ).toEqual([])
  })

  test('nothing is acknowledged > whatever it claims', () => {
    const bench = new MailboxBench()
    const outcomes = [{ controlId: 'x', epoch: 1, revision: 1, state: 'applied' }]
    const answer = bench.rawSync({ tasks: [taskReport('t1', 'running')], outcomes })
    expect(answer?.acked).toEqual([])
    expect(bench.mailbox.acknowledges).toBe(false)
  })
})
