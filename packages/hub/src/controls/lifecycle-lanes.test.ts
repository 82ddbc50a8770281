/** Lanes, and revisions with their epochs. */
import { compareRevisions } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { controlIds, MailboxBench, taskReport } from '../../../testkit/src/mailbox-bench.ts'

const running = { tasks: [taskReport('t1', 'running'), taskReport('t2', 'running')] }
const stale = (
  controlId: string,
  epoch: number,
  revision: number,
  mark: [number, number],
  local = false,
) => ({
  controlId,
  epoch,
  revision,
  state: 'stale',
  highWater: { epoch: mark[0], revision: mark[1] },
  local,
})

describe('given the lane `state` of one task (R-21)', () => {
  test('a newer verb > supersedes every older unsettled one, delivered or not', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'pause' })
    bench.control({ controlId: 'a2', action: 'resume' })
    expect(bench.outcome('a1'), 'supersede the undelivered one').toEqual({
      state: 'superseded',
      byControlId: 'a2',
    })
    bench.answer(running)
    bench.control({ controlId: 'a3', action: 'pause' })
    expect(bench.outcome('a2'), 'supersede the delivered one').toEqual({
      state: 'superseded',
      byControlId: 'a3',
    })
    expect(controlIds(bench.answer(running)), 'hand out the newest only').toEqual(['a3'])
  })

  test('another task > is another lane', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'pause' })
    bench.control({ controlId: 'a2', action: 'pause', taskId: 't2' })
    expect(controlIds(bench.answer(running))).toEqual(['a1', 'a2'])
  })

  test.each(['cancel', 'pause', 'resume'])('while a cancel is open > %s is refused', (action) => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'cancel' })
    expect(bench.control({ controlId: 'a2', action }), 'name the open cancel in the refusal').toEqual({
      kind: 'refused',
      code: 'task_cancelling',
      controlId: 'a1',
    })
    expect(
      bench.mailbox.open.map((entry) => entry.controlId),
      'a refusal changes nothing',
    ).toEqual(['a1'])
  })

  test('while a cancel is open > verbs of other tasks and custom verbs are accepted', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'cancel' })
    expect(bench.control({ controlId: 'a2', action: 'pause', taskId: 't2' }).kind).toBe('created')
    expect(bench.control({ controlId: 'a3', action: 'throttle' }).kind).toBe('created')
  })

  test('once the cancel has failed > state verbs are allowed again', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'cancel' })
    bench.answer(running)
    const failed = { controlId: 'a1', epoch: 1, revision: 1, state: 'failed', code: 'x', message: 'no' }
    bench.answer({ ...running, outcomes: [failed] })
    expect(bench.control({ controlId: 'a2', action: 'resume' }).kind).toBe('created')
  })

  test('once the cancel has expired, swept or not > state verbs are allowed again', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'cancel', ttlMs: 100 })
    bench.pass(100)
    expect(bench.control({ controlId: 'a2', action: 'pause' }).kind).toBe('created')
    expect(bench.state('a1'), 'settle what has expired, not as superseded').toBe('expired')
  })

  test('a cancel > supersedes an open pause', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'pause' })
    bench.control({ controlId: 'a2', action: 'cancel' })
    expect(bench.state('a1')).toBe('superseded')
  })
})

describe('given the lane of a custom verb (R-21)', () => {
  test('a queue > hands out one at a time, in order', () => {
    const bench = new MailboxBench()
    for (const controlId of ['q1', 'q2', 'q3']) bench.control({ controlId, action: 'bump' })
    expect(controlIds(bench.answer(running))).toEqual(['q1'])
    expect(controlIds(bench.answer(running)), 'the same until it is settled').toEqual(['q1'])
    const applied = { controlId: 'q1', epoch: 1, revision: 1, state: 'applied' }
    expect(controlIds(bench.answer({ ...running, outcomes: [applied] }))).toEqual(['q2'])
  })

  test('`latest` > supersedes what waits in its own lane only', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.control({ controlId: 'r1', action: 'reload', lanePolicy: 'latest' })
    bench.control({ controlId: 'r2', action: 'reload', lanePolicy: 'latest' })
    expect(bench.outcome('r1')).toEqual({ state: 'superseded', byControlId: 'r2' })
    expect(controlIds(bench.answer(running))).toEqual(['p1', 'b1', 'r2'])
  })

  test('a state verb > is never a queue and never atMostOnce, whatever is asked', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'p1', action: 'pause', lanePolicy: 'queue', delivery: 'atMostOnce' })
    expect(bench.entry('p1')).toMatchObject({ lanePolicy: 'latest', delivery: 'atLeastOnce' })
  })

  test('a custom verb > is a queue and atMostOnce by default', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'b1', action: 'bump' })
    expect(bench.entry('b1')).toMatchObject({
      lane: 'verb:bump',
      lanePolicy: 'queue',
      delivery: 'atMostOnce',
    })
  })
})

describe('given revisions (R-22, R-25)', () => {
  test('n > grows with every control of the agent, across tasks, verbs and restarts', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'pause' })
    bench.control({ controlId: 'a2', action: 'bump', taskId: 't2' })
    bench.restart()
    bench.control({ controlId: 'a3', action: 'resume' })
    const revisions = ['a1', 'a2', 'a3'].map((id) => [bench.entry(id).epoch, bench.entry(id).revision])
    expect(revisions).toEqual([
      [1, 1],
      [1, 2],
      [2, 3],
    ])
  })

  test('a refusal as stale > issues the same id again above the mark', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'pause' })
    bench.answer(running)
    const answer = bench.answer({ ...running, outcomes: [stale('a1', 1, 1, [1, 9])] })
    expect(answer.acked, 'a refusal is acknowledged too').toEqual(['a1'])
    expect(controlIds(answer), 'the reply carries the new issue').toEqual(['a1'])
    const issued = answer.controls[0]
    expect(issued && compareRevisions(issued, { epoch: 1, revision: 9 }), 'above the mark').toBeGreaterThan(0)
  })

  test('a mark above all that was ever issued > raises the epoch for every later control', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'pause' })
    bench.answer(running)
    bench.answer({ ...running, outcomes: [stale('a1', 1, 1, [3, 50])] })
    expect(bench.entry('a1').epoch, 'history was lost: begin above it').toBe(4)
    bench.control({ controlId: 'b1', action: 'bump', taskId: 't2' })
    expect(bench.entry('b1').epoch).toBe(4)
    expect(bench.entry('b1').revision).toBeGreaterThan(bench.entry('a1').revision)
  })

  test('a mark that this mailbox may have issued > leaves the epoch alone', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'reload', lanePolicy: 'latest', delivery: 'atLeastOnce' })
    bench.control({ controlId: 'a2', action: 'pause' })
    bench.answer(running)
    bench.answer({ ...running, outcomes: [stale('a1', 1, 1, [1, 2])] })
    expect(bench.entry('a1')).toMatchObject({ epoch: 1, revision: 3 })
  })

  test('an answer to an earlier issue > does not issue it once more', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'a1', action: 'pause' })
    bench.answer(running)
    bench.answer({ ...running, outcomes: [stale('a1', 1, 1, [1, 9])] })
    const issued = bench.entry('a1')
    const again = bench.answer({ ...running, outcomes: [stale('a1', 1, 1, [1, 9])] })
    expect(bench.entry('a1')).toMatchObject({ epoch: issued.epoch, revision: issued.revision })
    expect(again.acked, 'and is acknowledged all the same').toEqual(['a1'])
  })

  test('what waits behind it in its queue > stays behind it', () => {
    const bench = new MailboxBench()
    const verb = { action: 'bump', delivery: 'atLeastOnce' } as const
    for (const controlId of ['q1', 'q2', 'q3']) bench.control({ controlId, ...verb })
    bench.control({ controlId: 'p1', action: 'pause' })
    bench.answer(running)
    bench.answer({ ...running, outcomes: [stale('q1', 1, 1, [1, 77])] })
    const queue = ['q1', 'q2', 'q3'].map((id) => bench.entry(id))
    expect(queue.every((entry) => compareRevisions(entry, { epoch: 1, revision: 77 }) > 0)).toBe(true)
    for (const [index, entry] of queue.entries()) {
      const next = queue[index + 1]
      if (next !== undefined) expect(compareRevisions(entry, next), 'keep the order').toBeLessThan(0)
    }
    expect(bench.entry('p1').revision, 'another lane is left alone').toBe(4)
    const applied = { ...pick(bench, 'q1'), state: 'applied' }
    expect(controlIds(bench.answer({ ...running, outcomes: [applied] }))).toEqual(['q2', 'p1'])
  })

  test('an atMostOnce verb of a lost history > is not issued again, and fails as history_lost', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'b1', action: 'bump' })
    const backup = bench.mailbox
    bench.answer(running)
    bench.answer({ ...running, outcomes: [{ controlId: 'b1', epoch: 1, revision: 1, state: 'applied' }] })
    bench.restore(backup)
    expect(controlIds(bench.answer(running)), 'the restored hub hands it out once more').toEqual(['b1'])
    const answer = bench.answer({ ...running, outcomes: [stale('b1', 1, 1, [1, 5])] })
    expect(bench.outcome('b1')).toMatchObject({ state: 'failed', code: 'history_lost' })
    expect(controlIds(answer)).toEqual([])
  })

  test('after history_lost > the next control of that lane is above the mark, and does not fail as well', () => {
    const bench = new MailboxBench()
    bench.control({ controlId: 'b1', action: 'bump' })
    bench.restore(bench.mailbox)
    bench.answer(running)
    bench.answer({ ...running, outcomes: [stale('b1', 1, 1, [1, 5])] })
    bench.control({ controlId: 'b2', action: 'bump' })
    expect(
      compareRevisions(bench.entry('b2'), { epoch: 1, revision: 5 }),
      'raise the mailbox above the mark when it proves a lost history, also when the control itself fails',
    ).toBeGreaterThan(0)
  })
})

function pick(
  bench: MailboxBench,
  controlId: string,
): { controlId: string; epoch: number; revision: number } {
  const { epoch, revision } = bench.entry(controlId)
  return { controlId, epoch, revision }
}
