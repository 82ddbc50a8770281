/** What a control may become, what is observed, and what the agent decides by itself. */
import { describe, expect, test } from 'vitest'
import { controlIds, MailboxBench, taskReport } from '../../../testkit/src/mailbox-bench.ts'

const listed = (status: string) => ({ tasks: [taskReport('t1', status)] })
const applied = (controlId: string, revision = 1) => ({ controlId, epoch: 1, revision, state: 'applied' })
const decision = (decisionId: string, action: string, revision: number, epoch = 1) => ({
  decisionId,
  taskId: 't1',
  action,
  basedOn: { epoch, revision },
})

/** A bench on which the cancel `c1` of the listed task `t1` has been applied, and not yet been observed. */
function withAppliedCancel(options: { hubMade: boolean }): MailboxBench {
  const bench = new MailboxBench()
  if (options.hubMade) bench.task('t1')
  bench.control({ controlId: 'c1', action: 'cancel' })
  bench.answer(listed('running'))
  bench.answer({ ...listed('running'), outcomes: [applied('c1')] })
  return bench
}

describe('given the life of a control (R-23)', () => {
  test('created, written, received, applied, observed > each stamp says when and who', () => {
    const bench = new MailboxBench()
    const start = bench.wallMs
    bench.control({ controlId: 'p1', action: 'pause', operator: 'ann' })
    expect(bench.outcome('p1')).toEqual({ state: 'pending' })
    bench.pass(10)
    bench.answer(listed('running'))
    bench.pass(10)
    bench.answer({ ...listed('running'), received: ['p1'] })
    expect(bench.outcome('p1')).toEqual({ state: 'delivered' })
    bench.pass(10)
    bench.answer({ ...listed('running'), outcomes: [{ ...applied('p1'), agoMs: 4 }] })
    expect(bench.outcome('p1')).toEqual({ state: 'applied', confirmedBy: 'agent' })
    expect(bench.entry('p1').stamps.observed, 'the task still says running').toBeUndefined()
    bench.pass(10)
    bench.answer(listed('paused'))
    const at = (ms: number): string => new Date(start + ms).toISOString()
    expect(bench.entry('p1').stamps).toEqual({
      created: { at: at(0), by: 'ann' },
      written: { at: at(10), by: 'hub' },
      received: { at: at(20), by: 'agent' },
      applied: { at: at(26), by: 'agent' },
      observed: { at: at(40), by: 'agent' },
    })
  })

  test('received, by a hub that lost its memory of the write > is delivered, not pending', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer(listed('running'))
    bench.restart()
    bench.answer({ ...listed('running'), received: ['p1'] })
    expect(bench.state('p1'), 'what the agent has journalled has been delivered').toBe('delivered')
  })

  test.each([0, 1, 2 ** 45, Number.MAX_SAFE_INTEGER])('applied %i ms ago > is a date', (agoMs) => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer(listed('running'))
    bench.answer({ ...listed('running'), outcomes: [{ ...applied('p1'), agoMs }] })
    expect(
      bench.entry('p1').stamps.applied?.at,
      'clamp it: no claim of an agent may make a sync throw',
    ).toMatch(/^\d{4}-\d\d-\d\dT/)
  })

  test('the agent had it before its receipt came, or claims any past > the stamps are in order all the same', () => {
    for (const agoMs of [15, 60_000]) {
      const bench = new MailboxBench()
      bench.control({ controlId: 'p1', action: 'pause' })
      bench.pass(20)
      bench.answer(listed('running'))
      bench.pass(20)
      bench.answer({ ...listed('running'), received: ['p1'] })
      bench.pass(10)
      bench.answer({ ...listed('running'), outcomes: [{ ...applied('p1'), agoMs }] })
      bench.wallMs -= 7_200_000
      bench.answer(listed('paused'))
      const { created, received, applied: done, observed } = bench.entry('p1').stamps
      const inOrder = [created, received, done, observed].map((stamp) => Date.parse(stamp?.at ?? ''))
      expect(
        inOrder.toSorted((a, b) => a - b),
        `${agoMs} ms ago`,
      ).toEqual(inOrder)
    }
  })

  test('never written > neither superseded nor expired may have applied', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.control({ controlId: 'p2', action: 'resume', ttlMs: 5 })
    bench.pass(5)
    bench.expire()
    expect(bench.entry('p1')).not.toHaveProperty('mayHaveApplied')
    expect(bench.entry('p2')).not.toHaveProperty('mayHaveApplied')
  })

  test('written > superseded and expired may have applied, and a later word of the agent is kept', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer(listed('running'))
    bench.control({ controlId: 'p2', action: 'resume', ttlMs: 5 })
    bench.answer(listed('running'))
    bench.pass(5)
    bench.expire()
    for (const id of ['p1', 'p2']) expect(bench.entry(id).mayHaveApplied, id).toBe(true)
    const answer = bench.answer({ ...listed('paused'), outcomes: [applied('p1')] })
    expect(answer.acked).toEqual(['p1'])
    expect(bench.entry('p1')).toMatchObject({
      outcome: { state: 'superseded', byControlId: 'p2' },
      lateOutcome: { state: 'applied', confirmedBy: 'agent' },
    })
    expect(bench.history.map((entry) => entry.kind)).toContain('control.late')
  })

  test('of another life of the hub > may have been written, and so may have applied', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.restart()
    bench.control({ controlId: 'p2', action: 'resume' })
    expect(bench.entry('p1').mayHaveApplied).toBe(true)
  })

  test.each(['completed', 'failed', 'error', 'cancelled'])(
    'a task that is %s > already_finished',
    (status) => {
      const bench = new MailboxBench()
      bench.task('t1')
      bench.answer(listed(status))
      expect(bench.control({ controlId: 'p1', action: 'pause' }).kind, 'it is accepted, and over').toBe(
        'created',
      )
      expect(bench.outcome('p1')).toMatchObject({ state: 'failed', code: 'already_finished' })
      expect(controlIds(bench.answer())).toEqual([])
    },
  )

  test('a failure of the agent > is the outcome', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.answer(listed('running'))
    const failed = { controlId: 'b1', epoch: 1, revision: 1, state: 'failed', code: 'nope', message: 'why' }
    bench.answer({ ...listed('running'), outcomes: [failed] })
    expect(bench.outcome('b1')).toEqual({ state: 'failed', code: 'nope', message: 'why' })
    expect(bench.entry('b1').stamps).not.toHaveProperty('applied')
  })

  test('a second outcome of the same control > changes nothing and is acknowledged', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.answer(listed('running'))
    bench.answer({ ...listed('running'), outcomes: [applied('b1')] })
    const settled = bench.mailbox
    const failed = { controlId: 'b1', epoch: 1, revision: 1, state: 'failed', code: 'nope', message: '' }
    expect(bench.answer({ ...listed('running'), outcomes: [failed] }).acked).toEqual(['b1'])
    expect(bench.mailbox, 'a mailbox that nothing changed is the very same').toBe(settled)
  })
})

describe('given an applied cancel (R-23)', () => {
  test('the task is listed as cancelled > observed, and the task is shown so', () => {
    const bench = withAppliedCancel({ hubMade: true })
    expect(bench.taskState('t1'), 'applied is not observed').toBe('running')
    bench.answer(listed('cancelled'))
    expect(bench.entry('c1').stamps.observed).toBeDefined()
    expect(bench.taskState('t1')).toBe('cancelled')
  })

  test('the task is no longer listed > observed', () => {
    const bench = withAppliedCancel({ hubMade: true })
    bench.answer()
    expect(bench.entry('c1').stamps.observed).toBeDefined()
    expect(bench.taskState('t1')).toBe('cancelled')
  })

  test.each([
    { made: 'the hub', hubMade: true, status: 'completed' },
    { made: 'the hub', hubMade: true, status: 'failed' },
    { made: 'the agent', hubMade: false, status: 'completed' },
    { made: 'the agent', hubMade: false, status: 'error' },
  ])('a task of $made reports $status, then is absent > never observed', ({ hubMade, status }) => {
    const bench = withAppliedCancel({ hubMade })
    bench.answer(listed(status))
    bench.answer()
    expect(
      bench.entry('c1').stamps,
      'the task said how it ended; its absence afterwards is no cancel',
    ).not.toHaveProperty('observed')
    expect(bench.entry('c1').endedOtherwise, 'who waits for it must learn that it never will be').toBe(true)
    if (hubMade) expect(bench.taskState('t1')).toBe(status)
  })

  test.each(['running', 'paused', 'completed'])('observed, then listed as %s > diverged', (status) => {
    const bench = withAppliedCancel({ hubMade: true })
    bench.answer(listed('cancelled'))
    bench.answer(listed(status))
    expect(bench.entry('c1').diverged, 'show that a later sync contradicts it').toBe(true)
    expect(bench.taskState('t1'), 'what the task reports wins').toBe(status)
  })

  test('observed, then absent or still cancelled > not diverged', () => {
    const bench = withAppliedCancel({ hubMade: true })
    bench.answer(listed('cancelled'))
    bench.answer(listed('cancelled'))
    bench.answer()
    expect(bench.entry('c1')).not.toHaveProperty('diverged')
  })

  test('completed > stays completed whatever comes later', () => {
    const bench = new MailboxBench()
    bench.task('t1')
    bench.answer({ tasks: [{ ...taskReport('t1', 'completed'), result: { sum: 5 } }] })
    bench.answer(listed('cancelled'))
    expect(bench.mailbox.tasks[0]).toMatchObject({ state: 'completed', result: { sum: 5 } })
    expect(bench.mailbox.tasks[0], 'the input of a finished task is dropped').not.toHaveProperty('input')
  })
})

describe('given pause and resume that were applied (R-23)', () => {
  test('a resume behind the pause > the older pause is not observed by what the resume shows', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer(listed('running'))
    bench.answer({ ...listed('running'), outcomes: [applied('p1')] })
    bench.control({ controlId: 'r1', action: 'resume' })
    bench.answer(listed('paused'))
    expect(bench.entry('p1').stamps, 'a newer verb is open').not.toHaveProperty('observed')
    bench.answer({ ...listed('running'), outcomes: [applied('r1', 2)] })
    expect(bench.entry('r1').stamps.observed).toBeDefined()
  })

  test('a newer verb that failed > does not hide the one that was applied before it', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer(listed('running'))
    bench.answer({ ...listed('running'), outcomes: [applied('p1')] })
    bench.control({ controlId: 'r1', action: 'resume' })
    const failed = { controlId: 'r1', epoch: 1, revision: 2, state: 'failed', code: 'x', message: '' }
    bench.answer({ ...listed('running'), outcomes: [failed] })
    bench.answer(listed('paused'))
    expect(bench.entry('p1').stamps.observed).toBeDefined()
  })

  test('a custom verb > is observed by the word of the agent', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.answer(listed('running'))
    bench.answer({ ...listed('running'), outcomes: [applied('b1')] })
    expect(bench.entry('b1').stamps.observed).toEqual(bench.entry('b1').stamps.applied)
  })
})

describe('given decisions made on the agent (R-29)', () => {
  test('a decision > closes state verbs up to what it rests on, and a higher one stays open', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer(listed('running'))
    const answer = bench.answer({ ...listed('running'), decisions: [decision('d1', 'resume', 1)] })
    expect(answer.acked).toEqual(['d1'])
    expect(bench.entry('p1')).toMatchObject({
      outcome: { state: 'superseded', byControlId: 'local' },
      mayHaveApplied: true,
    })
    bench.control({ controlId: 'p2', action: 'pause' })
    bench.answer({ ...listed('running'), decisions: [decision('d1', 'resume', 1)] })
    expect(
      bench.mailbox.open.map((entry) => entry.controlId),
      'a control above it wins',
    ).toEqual(['p2'])
  })

  test('a decision > leaves other tasks and custom verbs alone', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause', taskId: 't2' })
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.answer({ ...listed('running'), decisions: [decision('d1', 'cancel', 99)] })
    expect(bench.mailbox.open.map((entry) => entry.controlId)).toEqual(['p1', 'b1'])
  })

  test('a refusal because of a local decision > closes the control instead of issuing it again', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer(listed('running'))
    const refused = { ...applied('p1'), state: 'stale', highWater: { epoch: 1, revision: 1 }, local: true }
    expect(controlIds(bench.answer({ ...listed('running'), outcomes: [refused] }))).toEqual([])
    expect(bench.outcome('p1')).toEqual({ state: 'superseded', byControlId: 'local' })
  })

  test('applied before the local decision, told in one sync > is applied, not superseded', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer(listed('running'))
    const both = { outcomes: [applied('p1')], decisions: [decision('d1', 'resume', 1)] }
    const answer = bench.answer({ ...listed('running'), ...both })
    expect(bench.state('p1')).toBe('applied')
    expect(answer.acked).toEqual(['p1', 'd1'])
  })
})
