/** Acknowledging, lost journals, time to live, idempotency. */
import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { controlIds, MailboxBench, taskReport } from '../../../testkit/src/mailbox-bench.ts'
import { hasExpired } from './lifecycle.ts'

const running = { tasks: [taskReport('t1', 'running')] }
const applied = (controlId: string, revision = 1) => ({ controlId, epoch: 1, revision, state: 'applied' })

describe('given reports of an agent (R-26)', () => {
  test('every id > is acknowledged, also one that nobody knows', () => {
    const bench = new MailboxBench()
    const basedOn = { epoch: 0, revision: 0 }
    const decisions = [{ decisionId: 'd1', taskId: 't9', action: 'pause', basedOn }]
    const answer = bench.answer({ outcomes: [applied('unknown')], decisions })
    expect(answer.acked, 'the agent would report it for ever').toEqual(['unknown', 'd1'])
  })

  test('received is no outcome > nothing is acknowledged, and it is handed out until it is settled', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer(running)
    const answer = bench.answer({ ...running, received: ['p1'] })
    expect(answer.acked).toEqual([])
    expect(controlIds(answer)).toEqual(['p1'])
  })

  test('a sync that changes nothing (R-65) > decides the very same mailbox, without history', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer({ ...running, received: ['p1'] })
    bench.answer(running)
    const before = bench.mailbox
    const entries = bench.history.length
    bench.answer({ ...running, received: ['p1'] })
    expect(bench.mailbox, 'only a change is worth a commit').toBe(before)
    expect(bench.history).toHaveLength(entries)
  })
})

describe('given a new journalId (R-27)', () => {
  /** A pause, an `atLeastOnce` verb and two `atMostOnce` ones, of which only the first was ever written. */
  function beforeTheLoss(): MailboxBench {
    const bench = new MailboxBench()
    bench.answer(running)
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.control({ controlId: 'r1', action: 'reload', delivery: 'atLeastOnce' })
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.control({ controlId: 'b2', action: 'bump' })
    bench.answer(running)
    return bench
  }

  test('the journal is lost > written atMostOnce verbs fail, everything else is handed out again', () => {
    const bench = beforeTheLoss()
    const answer = bench.answer({ ...running, journalId: 'journal-2' })
    expect(bench.outcome('b1')).toMatchObject({ state: 'failed', code: 'journal_lost' })
    expect(controlIds(answer), 'b2 was never written, so it cannot have been applied').toEqual([
      'p1',
      'r1',
      'b2',
    ])
  })

  test('and the hub has restarted > nobody knows what was written, so every atMostOnce verb fails', () => {
    const bench = beforeTheLoss()
    bench.restart()
    bench.answer({ ...running, journalId: 'journal-2' })
    expect(bench.state('b2')).toBe('failed')
  })

  test('the first journal ever, and the same one again > lose nothing', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.answer(running)
    bench.answer(running)
    expect(bench.mailbox.open.map((entry) => entry.controlId)).toEqual(['b1'])
  })

  test('a stream > is pushed atMostOnce verbs only if it names the journal that the mailbox knows', () => {
    const bench = new MailboxBench()
    bench.answer(running)
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.control({ controlId: 'r1', action: 'reload', delivery: 'atLeastOnce' })
    expect(bench.push(), 'the agent may have lost its journal').toEqual(['p1', 'r1'])
    expect(bench.push('journal-2')).toEqual(['p1', 'r1'])
    expect(bench.push('journal-1')).toEqual(['p1', 'b1', 'r1'])
  })

  test('an earlier copy of the journal is put back > it counts as lost, once', () => {
    const bench = new MailboxBench()
    bench.sync({ ...running, journalPosition: 10, journalOpenedAt: 3 })
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.answer(running)
    bench.sync({ ...running, received: ['b1'], journalPosition: 12, journalOpenedAt: 3 })
    const restored = { ...running, bootNonce: 'boot-2', journalOpenedAt: 9 }
    // What it has decided since must not hide what it has forgotten.
    bench.sync({ ...restored, journalPosition: 40 })
    expect(bench.outcome('b1')).toMatchObject({ state: 'failed', code: 'journal_lost' })
    bench.control({ controlId: 'b2', action: 'bump' })
    expect(bench.answer({ ...restored, journalPosition: 41 }).controls.map((item) => item.controlId)).toEqual(
      ['b2'],
    )
    expect(bench.state('b2'), 'the same boot has been judged').not.toBe('failed')
  })

  test('a boot goes on with the journal of the one before > nothing is lost, however late its first sync is', () => {
    const bench = new MailboxBench()
    bench.sync({ ...running, journalPosition: 10, journalOpenedAt: 3 })
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.answer(running)
    bench.sync({ ...running, bootNonce: 'boot-2', journalPosition: 12, journalOpenedAt: 10 })
    expect(bench.outcome('b1')).toEqual({ state: 'delivered' })
  })

  test('a stream of an earlier copy > is pushed atMostOnce verbs only when a sync of its boot was taken in', () => {
    const bench = new MailboxBench()
    bench.sync({ ...running, journalPosition: 10, journalOpenedAt: 3 })
    bench.control({ controlId: 'b1', action: 'bump' })
    expect(bench.push('journal-1 9', 'boot-2'), 'it may have been applied before').toEqual([])
    expect(bench.push('journal-1 3', 'boot-1'), 'its syncs have told all that came since').toEqual(['b1'])
    expect(bench.push('journal-1 10', 'boot-2')).toEqual(['b1'])
  })

  test('before the first sync > no journal is known, and no atMostOnce verb is pushed', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'b1', action: 'bump' })
    expect(bench.push('journal-1')).toEqual([])
  })
})

describe('given a time to live (R-31)', () => {
  test.each([
    ['pause', limits.CONTROL_TTL_MS_DEFAULT],
    ['resume', limits.CONTROL_TTL_MS_DEFAULT],
    ['bump', limits.CONTROL_TTL_MS_DEFAULT],
    ['cancel', undefined],
  ])('%s > has the default of its verb', (action, ttlMs) => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action })
    expect(bench.entry('a1').ttlMs).toBe(ttlMs)
  })

  test('a cancel with a time to live > expires by it', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'c1', action: 'cancel', ttlMs: 50 })
    bench.pass(50)
    bench.expire()
    expect(bench.state('c1')).toBe('expired')
  })

  test('the end of it > is neither early nor late', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause', ttlMs: 50 })
    bench.pass(49)
    expect(hasExpired(bench.mailbox, bench.serviceMs)).toBe(false)
    const before = bench.mailbox
    bench.expire()
    expect(bench.mailbox, 'nothing to do is no change').toBe(before)
    bench.pass(1)
    expect(hasExpired(bench.mailbox, bench.serviceMs)).toBe(true)
    expect(controlIds(bench.answer(running)), 'no longer handed out').toEqual([])
    expect(bench.state('p1'), 'and settled by the sync itself').toBe('expired')
  })

  test('the wall clock jumps, the hub restarts > only service time counts', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause', ttlMs: 50 })
    bench.wallMs += 1_000_000
    bench.restart()
    bench.expire()
    expect(bench.state('p1')).toBe('pending')
    bench.wallMs -= 9_000_000
    bench.serviceMs += 50
    bench.expire()
    expect(bench.state('p1')).toBe('expired')
  })

  test('what is handed out > says how much is left', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause', ttlMs: 50 })
    bench.pass(20)
    expect(bench.answer(running).controls[0]?.ttlMs).toBe(30)
  })

  test('an expired head of a queue > makes way for the next', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'b1', action: 'bump', ttlMs: 50 })
    bench.control({ controlId: 'b2', action: 'bump' })
    bench.pass(50)
    expect(bench.push('journal-1'), 'a push expires nothing, but must not hold the lane').toEqual([])
    expect(controlIds(bench.answer(running))).toEqual(['b2'])
  })
})

describe('given idempotency (R-31)', () => {
  const key = { key: 'k1', bodyHash: 'h1' }

  test('same key and body > the same control, nothing new', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'pause', idempotency: key })
    const before = bench.mailbox
    expect(bench.control({ controlId: 'a2', action: 'pause', idempotency: key })).toEqual({
      kind: 'replayed',
      controlId: 'a1',
    })
    expect(bench.mailbox).toBe(before)
  })

  test('same key, other body > 409', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'pause', idempotency: key })
    const other = { key: 'k1', bodyHash: 'h2' }
    expect(bench.control({ controlId: 'a2', action: 'resume', idempotency: other })).toEqual({
      kind: 'refused',
      code: 'idempotency_conflict',
    })
    expect(bench.task('t9', { idempotency: other })).toEqual({
      kind: 'refused',
      code: 'idempotency_conflict',
    })
  })

  test('a retry > is answered before anything refuses it', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'c1', action: 'cancel', idempotency: key })
    expect(bench.control({ controlId: 'c2', action: 'cancel', idempotency: key }).kind).toBe('replayed')
    const taskKey = { key: 'k2', bodyHash: 'h' }
    bench.task('t1', { idempotency: taskKey })
    expect(bench.task('t-other', { idempotency: taskKey })).toEqual({ kind: 'replayed', taskId: 't1' })
  })

  test("one's own id > is success, open or settled", () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'c1', action: 'cancel' })
    expect(bench.control({ controlId: 'c1', action: 'cancel' })).toEqual({
      kind: 'created',
      controlId: 'c1',
    })
    bench.answer(running)
    bench.answer({ ...running, outcomes: [applied('c1')] })
    expect(bench.control({ controlId: 'c1', action: 'cancel' }).kind).toBe('created')
    expect(bench.mailbox.settled).toHaveLength(1)
  })

  test('a refusal > is not remembered, so that the same key may succeed later', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'c1', action: 'cancel' })
    expect(bench.control({ controlId: 'a2', action: 'pause', idempotency: key }).kind).toBe('refused')
    bench.answer(running)
    bench.answer({ ...running, outcomes: [{ ...applied('c1'), state: 'failed', code: 'x', message: '' }] })
    expect(bench.control({ controlId: 'a3', action: 'pause', idempotency: key }).kind).toBe('created')
  })

  test('a task id that is taken > is refused', () => {
    const bench = new MailboxBench()
    bench.task('t1')
    expect(bench.task('t1')).toEqual({ kind: 'refused', code: 'task_exists' })
  })
})
