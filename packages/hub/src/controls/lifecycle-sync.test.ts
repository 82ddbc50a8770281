/** What a sync is worth: boots and clones, overtaken syncs, new tasks, and every bound of a mailbox. */
import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { controlIds, MailboxBench, newTaskIds, taskReport } from '../../../testkit/src/mailbox-bench.ts'
import { fitAnswer } from './sync-reply.ts'

const running = { tasks: [taskReport('t1', 'running')] }
const applied = (controlId: string, revision: number) => ({
  controlId,
  epoch: 1,
  revision,
  state: 'applied',
})
const range = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index)

describe('given boots', () => {
  const boot = (bootNonce: string, connectCounter = 1) => ({ bootNonce, connectCounter })

  test('an older boot speaks after a newer one > a clone, of which nothing counts', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer({ ...running, ...boot('b1') })
    bench.answer({ ...running, ...boot('b2') })
    const before = bench.mailbox
    const outcomes = [applied('p1', 1)]
    expect(bench.sync({ ...running, ...boot('b1', 99), outcomes })).toBeUndefined()
    expect(bench.mailbox).toBe(before)
    expect(controlIds(bench.answer({ ...running, ...boot('b2', 2) })), 'the newer keeps delivery').toEqual([
      'p1',
    ])
  })

  test('an older boot once the newer is gone > takes its place, and that of the newer is its own', () => {
    const bench = new MailboxBench()
    bench.answer(boot('b1'))
    bench.answer(boot('b2'))
    bench.isNewestBootGone = true
    bench.answer(boot('b1', 2))
    bench.isNewestBootGone = false
    expect(bench.mailbox).toMatchObject({ boot: { bootNonce: 'b1' }, earlierBoots: ['b2'] })
    expect(bench.sync(boot('b1', 3)), 'it is no clone from then on').toBeDefined()
    expect(bench.sync(boot('b2', 2)), 'the one that was gone is').toBeUndefined()
  })

  test('boots that are remembered > stay within their bound, and the newest are kept', () => {
    const bench = new MailboxBench()
    for (const index of range(limits.MAILBOX_BOOTS_MAX + 3)) bench.answer(boot(`b${index}`))
    expect(bench.mailbox.earlierBoots).toHaveLength(limits.MAILBOX_BOOTS_MAX)
    expect(bench.sync(boot('b2')), 'the newest of the earlier ones are clones').toBeUndefined()
  })

  test('a sync that was overtaken > settles controls, and shows tasks no longer', () => {
    const bench = new MailboxBench()
    bench.task('t1')
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer({ ...running, ...boot('b1', 5) })
    const late = { tasks: [taskReport('t1', 'completed')], outcomes: [applied('p1', 1)] }
    const answer = bench.answer({ ...late, ...boot('b1', 4) })
    expect(answer.acked).toEqual(['p1'])
    expect(bench.state('p1')).toBe('applied')
    expect(bench.taskState('t1'), 'that is how it was before').toBe('running')
    expect(answer.newTasks).toEqual([])
    expect(bench.mailbox.boot?.connectCounter, 'the counter never goes back').toBe(5)
  })

  test('an overtaken sync that lists nothing > does not observe a cancel by absence', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'c1', action: 'cancel' })
    bench.answer({ ...running, ...boot('b1', 5) })
    bench.answer({ ...running, ...boot('b1', 6), outcomes: [applied('c1', 1)] })
    bench.answer(boot('b1', 4))
    expect(bench.entry('c1').stamps).not.toHaveProperty('observed')
  })

  test('a counter by itself > is not worth a commit', () => {
    const bench = new MailboxBench()
    bench.answer(running)
    const before = bench.mailbox
    bench.answer(running)
    expect(bench.mailbox).toBe(before)
  })
})

describe('given hub-made tasks', () => {
  test('the agent has free slots > as many are offered, oldest first, until they are listed', () => {
    const bench = new MailboxBench()
    for (const index of range(5)) bench.task(`t${index}`)
    expect(newTaskIds(bench.answer({ freeSlots: 0 }))).toEqual([])
    expect(newTaskIds(bench.answer({ freeSlots: 2 }))).toEqual(['t0', 't1'])
    const listed = { tasks: [taskReport('t0', 'running')], freeSlots: 2 }
    expect(newTaskIds(bench.answer(listed))).toEqual(['t1', 't2'])
  })

  test('a task with an open control > is urgent: first, and without a free slot', () => {
    const bench = new MailboxBench()
    for (const index of range(3)) bench.task(`t${index}`)
    bench.control({ controlId: 'c1', action: 'cancel', taskId: 't2' })
    const answer = bench.answer({ freeSlots: 1 })
    expect(newTaskIds(answer)).toEqual(['t2', 't0'])
    expect(controlIds(answer)).toEqual(['c1'])
    expect(newTaskIds(bench.answer({ freeSlots: 0 }))).toEqual(['t2'])
  })

  test('more urgent ones than one reply carries > no control goes out ahead of its task', () => {
    const bench = new MailboxBench()
    const count = limits.NEW_TASKS_PER_SYNC_MAX + 2
    for (const index of range(count)) {
      bench.task(`t${index}`)
      bench.control({ controlId: `c${index}`, action: 'cancel', taskId: `t${index}` })
    }
    const first = bench.answer()
    expect(newTaskIds(first)).toHaveLength(limits.NEW_TASKS_PER_SYNC_MAX)
    expect(
      first.controls.map((control) => control.taskId),
      'the agent would refuse a control of an unknown task for good',
    ).toEqual(newTaskIds(first))
    const tasks = newTaskIds(first).map((taskId) => taskReport(taskId, 'running'))
    expect(controlIds(bench.answer({ tasks })), 'the others come with their tasks').toHaveLength(count)
  })

  test('a task that no longer fits the reply > takes its controls with it into the next', () => {
    const input = 'x'.repeat(limits.TASK_INPUT_BYTES_MAX - 2)
    const args = { text: 'y'.repeat(limits.CONTROL_ARGS_BYTES_MAX - 20) }
    const bench = new MailboxBench()
    bench.task('t1', { input })
    bench.control({ controlId: 'c1', action: 'cancel' })
    for (const index of range(40)) {
      bench.control({ controlId: `b${index}`, action: 'bump', taskId: `own${index}`, args })
    }
    const tasks = range(40).map((index) => taskReport(`own${index}`, 'running'))
    const fitted = fitAnswer(bench.answer({ tasks }), true)
    expect(fitted.newTasks, 'the test means to fill the reply: raise its load').toEqual([])
    expect(fitted.controls.map((control) => control.controlId)).not.toContain('c1')
    expect(fitted.isCut).toBe(true)
  })

  test('one that the agent listed and lost > is offered again', () => {
    const bench = new MailboxBench()
    bench.task('t1', { input: 'in' })
    bench.answer(running)
    const answer = bench.answer({ freeSlots: 1 })
    expect(bench.taskState('t1')).toBe('assigned')
    expect(answer.newTasks).toEqual([{ id: 't1', kind: 'work', input: 'in' }])
  })

  test.each(['completed', 'failed', 'cancelled'])('%s > is never offered again', (status) => {
    const bench = new MailboxBench()
    bench.task('t1')
    bench.answer({ tasks: [taskReport('t1', status)] })
    expect(newTaskIds(bench.answer({ freeSlots: 5 }))).toEqual([])
    expect(bench.taskState('t1')).toBe(status)
  })
})

describe('given the bounds of a mailbox', () => {
  test('open controls > mailbox_full past OPEN_CONTROLS_MAX; what supersedes still fits', () => {
    const bench = new MailboxBench()
    for (const index of range(limits.OPEN_CONTROLS_MAX)) {
      bench.control({ controlId: `p${index}`, action: 'pause', taskId: `t${index}`, ttlMs: 1_000 })
    }
    expect(bench.control({ controlId: 'x1', action: 'pause', taskId: 'more' })).toEqual({
      kind: 'refused',
      code: 'mailbox_full',
    })
    expect(bench.control({ controlId: 'x2', action: 'resume', taskId: 't0' }).kind).toBe('created')
    expect(bench.mailbox.open).toHaveLength(limits.OPEN_CONTROLS_MAX)
  })

  test('open controls that have expired > make room, swept or not', () => {
    const bench = new MailboxBench()
    for (const index of range(limits.OPEN_CONTROLS_MAX)) {
      bench.control({ controlId: `p${index}`, action: 'pause', taskId: `t${index}`, ttlMs: 1_000 })
    }
    bench.pass(1_000)
    expect(bench.control({ controlId: 'x1', action: 'pause', taskId: 'more' }).kind).toBe('created')
    expect(bench.mailbox.open).toHaveLength(1)
  })

  test('one lane > lane_full past LANE_QUEUE_MAX; other lanes and `latest` go on', () => {
    const bench = new MailboxBench()
    for (const index of range(limits.LANE_QUEUE_MAX)) {
      expect(bench.control({ controlId: `b${index}`, action: 'bump' }).kind).toBe('created')
    }
    expect(bench.control({ controlId: 'x1', action: 'bump' })).toEqual({
      kind: 'refused',
      code: 'lane_full',
    })
    expect(bench.control({ controlId: 'x2', action: 'nudge' }).kind).toBe('created')
    expect(bench.control({ controlId: 'x3', action: 'bump', lanePolicy: 'latest' }).kind).toBe('created')
    expect(bench.mailbox.open.map((entry) => entry.controlId)).toEqual(['x2', 'x3'])
  })

  test('settled controls > at most SETTLED_CONTROLS_MAX, the oldest go first', () => {
    const bench = new MailboxBench()
    const count = limits.SETTLED_CONTROLS_MAX + 5
    for (const index of range(count + 1)) bench.control({ controlId: `p${index}`, action: 'pause' })
    const ids = bench.mailbox.settled.map((entry) => entry.controlId)
    expect(ids).toHaveLength(limits.SETTLED_CONTROLS_MAX)
    expect(ids.at(-1)).toBe(`p${count - 1}`)
    expect(ids[0]).toBe('p5')
  })

  test('settled controls with large arguments > as many as SETTLED_ARGS_BYTES_MAX lets stay behind the newest', () => {
    const bench = new MailboxBench()
    const args = { text: 'ü'.repeat(limits.SETTLED_ARGS_BYTES_MAX / 8) }
    for (const index of range(6)) bench.control({ controlId: `p${index}`, action: 'pause', args })
    expect(
      bench.mailbox.settled.map((entry) => entry.controlId),
      'three of a quarter and some bytes each fit',
    ).toEqual(['p1', 'p2', 'p3', 'p4'])
  })

  test('settled controls with large arguments > push out no cancel, which is yet to be observed', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'c', action: 'pause' })
    const args = { text: 'x'.repeat(limits.SETTLED_ARGS_BYTES_MAX / 2) }
    for (const index of range(4)) bench.control({ controlId: `p${index}`, action: 'pause', args })
    expect(bench.mailbox.settled.map((entry) => entry.controlId)).toEqual(['c', 'p1', 'p2'])
  })

  test('settled controls, of which one alone has more > it stays until the next settles', () => {
    const bench = new MailboxBench()
    const args = { text: 'x'.repeat(limits.SETTLED_ARGS_BYTES_MAX) }
    bench.control({ controlId: 'large', action: 'pause', args })
    bench.control({ controlId: 'p1', action: 'pause' })
    expect(bench.mailbox.settled.map((entry) => entry.controlId)).toEqual(['large'])
    bench.control({ controlId: 'p2', action: 'pause' })
    expect(bench.mailbox.settled.map((entry) => entry.controlId)).toEqual(['p1'])
  })

  test('idempotency keys > at most IDEMPOTENCY_KEYS_MAX, the oldest go first', () => {
    const bench = new MailboxBench()
    for (const index of range(limits.IDEMPOTENCY_KEYS_MAX + 1)) {
      const idempotency = { key: `k${index}`, bodyHash: 'h' }
      bench.control({ controlId: `p${index}`, action: 'pause', idempotency })
    }
    expect(bench.mailbox.idempotency).toHaveLength(limits.IDEMPOTENCY_KEYS_MAX)
    expect(bench.mailbox.idempotency[0]?.key).toBe('k1')
  })

  test('idempotency keys of open controls > stay whatever comes, and go with the rest once settled', () => {
    const bench = new MailboxBench()
    const ask = (attempt: string, index: number) => {
      const idempotency = { key: `k${index}`, bodyHash: 'h' }
      return bench.control({
        controlId: `${attempt}${index}`,
        action: 'bump',
        taskId: `t${index}`,
        idempotency,
      })
    }
    for (const index of range(limits.OPEN_CONTROLS_MAX)) ask('first', index)
    const again = range(limits.OPEN_CONTROLS_MAX).map((index) => ask('again', index))
    expect(again, 'a batch that is repeated must make nothing twice').toEqual(
      range(limits.OPEN_CONTROLS_MAX).map((index) => ({ kind: 'replayed', controlId: `first${index}` })),
    )
    const { open } = bench.mailbox
    const outcomes = open.map(({ controlId, epoch, revision }) => {
      return { controlId, epoch, revision, state: 'applied' }
    })
    bench.answer({ outcomes })
    expect(bench.mailbox.open).toEqual([])
    ask('first', limits.OPEN_CONTROLS_MAX)
    expect(bench.mailbox.idempotency).toHaveLength(limits.IDEMPOTENCY_KEYS_MAX)
  })

  test('unfinished tasks > mailbox_full past MAILBOX_TASKS_MAX, until one is over', () => {
    const bench = new MailboxBench()
    for (const index of range(limits.MAILBOX_TASKS_MAX)) bench.task(`t${index}`)
    expect(bench.task('more')).toEqual({ kind: 'refused', code: 'mailbox_full' })
    bench.answer({ tasks: [taskReport('t0', 'completed')] })
    expect(bench.task('more').kind).toBe('created')
  })

  test.each([
    ['letters of one byte', 'x', limits.TASK_INPUT_BYTES_MAX - 2],
    ['letters of three bytes', '語', 20_000],
  ])('inputs in %s > mailbox_full past MAILBOX_INPUT_BYTES_MAX bytes', (_what, letter, count) => {
    const bench = new MailboxBench()
    const input = letter.repeat(count)
    const fit = Math.floor(limits.MAILBOX_INPUT_BYTES_MAX / Buffer.byteLength(JSON.stringify(input)))
    for (const index of range(fit)) expect(bench.task(`t${index}`, { input }).kind).toBe('created')
    expect(bench.task('more', { input }), 'count bytes, not UTF-16 units').toEqual({
      kind: 'refused',
      code: 'mailbox_full',
    })
    bench.answer({ tasks: [taskReport('t0', 'completed')] })
    expect(bench.task('more', { input }).kind, 'a finished task lets go of its input').toBe('created')
  })

  test('finished tasks > at most FINISHED_TASKS_MAX, the oldest go first', () => {
    const bench = new MailboxBench()
    const count = limits.FINISHED_TASKS_MAX + 3
    for (const index of range(count)) bench.task(`t${index}`)
    bench.task('alive')
    for (const index of range(count)) {
      bench.pass(10)
      bench.answer({ tasks: [taskReport(`t${index}`, 'completed')], freeSlots: 0 })
    }
    const ids = bench.mailbox.tasks.map((task) => task.taskId)
    expect(ids).toHaveLength(limits.FINISHED_TASKS_MAX + 1)
    expect(ids, 'the unfinished stays').toContain('alive')
    expect(ids).not.toContain('t2')
    expect(ids).toContain('t3')
  })
})
