/** The agent's ledger: verdicts, intended states, what it reports and what it may forget. */
import { isStateVerb, laneOf, limits, type Delivery, type IssuedControl } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import type { LedgerRecord, Outcome } from './ledger-records.ts'
import { compactRecords } from './ledger-state.ts'
import { Ledger } from './ledger.ts'

const JOURNAL: LedgerRecord = { type: 'journal', journalId: 'j1' }
const task = (taskId: string): LedgerRecord => ({ type: 'task', taskId, kind: 'work', input: null })
const range = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index)

function control(
  controlId: string,
  action: string,
  revision: number,
  taskId = 't1',
  epoch = 1,
): IssuedControl {
  return { controlId, action, revision, taskId, epoch, lane: laneOf(action), args: null }
}

/** Judges and, when accepted, journals the intent. */
function take(ledger: Ledger, item: IssuedControl, delivery: Delivery = 'atMostOnce'): string {
  const verdict = ledger.judge(item, delivery)
  if (verdict.kind === 'accept') ledger.record(verdict.record)
  return verdict.kind
}

function settle(ledger: Ledger, controlId: string, outcome: Outcome = { state: 'applied' }): void {
  ledger.record({ type: 'outcome', controlId, outcome })
}

const FAILED: Outcome = { state: 'failed', code: 'nope', message: 'why' }

function decide(
  ledger: Ledger,
  action: 'cancel' | 'pause' | 'resume',
  decisionId: string,
  taskId = 't1',
): LedgerRecord {
  const record = ledger.decideLocally(taskId, action, decisionId)
  ledger.record(record)
  return record
}

/** Lets the hub acknowledge everything that the next sync reports. */
function acknowledgeAll(ledger: Ledger): void {
  const report = ledger.report()
  const ids = [
    ...report.outcomes.map((outcome) => outcome.controlId),
    ...report.decisions.map((item) => item.decisionId),
  ]
  ledger.acknowledge(report, ids)
  forget(ledger)
}

/** As the journal does with the next records. */
function forget(ledger: Ledger): void {
  const record = ledger.forgetRecord()
  if (record !== undefined) ledger.record(record)
}

describe('given a control that arrives (R-25)', () => {
  test('new > accepted, and a query alone changes nothing', () => {
    const ledger = new Ledger([JOURNAL])
    const item = control('c1', 'pause', 1)
    expect(ledger.judge(item, 'atMostOnce')).toEqual({
      kind: 'accept',
      record: { type: 'intent', control: item, delivery: 'atMostOnce' },
    })
    expect(ledger.judge(item, 'atMostOnce').kind, 'nothing is journalled yet').toBe('accept')
    expect(ledger.report()).toEqual({
      journalId: 'j1',
      journalPosition: 1,
      journalOpenedAt: 1,
      outcomes: [],
      received: [],
      decisions: [],
    })
  })

  test('the journal goes on > how far it was when it was opened stays what is said of that (R-27)', () => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', 'pause', 1))
    settle(ledger, 'c1')
    expect(ledger.report()).toMatchObject({ journalPosition: 4, journalOpenedAt: 2 })
  })

  test('being decided, and decided > a duplicate, also when it was issued again', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c1', 'bump', 1))
    expect(take(ledger, control('c1', 'bump', 1))).toBe('duplicate')
    settle(ledger, 'c1')
    expect(take(ledger, control('c1', 'bump', 1))).toBe('duplicate')
    expect(take(ledger, control('c1', 'bump', 9)), 'never decide an id twice').toBe('duplicate')
    expect(ledger.report().outcomes).toHaveLength(1)
  })

  test('decided and forgotten > stale, because the lane keeps its mark', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c1', 'bump', 1))
    settle(ledger, 'c1')
    acknowledgeAll(ledger)
    expect(ledger.report().outcomes).toEqual([])
    expect(take(ledger, control('c1', 'bump', 1))).toBe('stale')
  })

  test.each<[string, IssuedControl, string]>([
    ['a lower n', control('c2', 'resume', 4, 't1', 2), 'stale'],
    ['the same n', control('c2', 'resume', 5, 't1', 2), 'stale'],
    ['a higher n', control('c2', 'resume', 6, 't1', 2), 'accept'],
    ['a lower epoch with a higher n', control('c2', 'resume', 99, 't1', 1), 'stale'],
    ['a higher epoch with a lower n', control('c2', 'resume', 1, 't1', 3), 'accept'],
    ['a lower n of another task', control('c2', 'resume', 1, 't2', 2), 'accept'],
    ['a lower n of another lane', control('c2', 'bump', 1, 't1', 2), 'accept'],
  ])('after epoch 2, n 5 of the lane, %s > is judged by (epoch, n)', (_what, item, verdict) => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c1', 'pause', 5, 't1', 2))
    expect(take(ledger, item)).toBe(verdict)
  })

  test('stale > reported with the mark of its lane, and not journalled', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c2', 'pause', 5))
    expect(take(ledger, control('c1', 'resume', 3))).toBe('stale')
    expect(ledger.report().outcomes).toEqual([
      {
        controlId: 'c1',
        epoch: 1,
        revision: 3,
        state: 'stale',
        highWater: { epoch: 1, revision: 5 },
        local: false,
      },
    ])
    expect(new Ledger(compactRecords(ledger.state, 0)).report().outcomes).toEqual([])
  })

  test('stale by a local decision > says so; stale above it does not', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c1', 'pause', 5))
    decide(ledger, 'resume', 'd1')
    take(ledger, control('c3', 'pause', 8))
    take(ledger, control('c0', 'pause', 4))
    take(ledger, control('c2', 'pause', 7))
    const said = ledger.report().outcomes.map((item) => [item.controlId, 'local' in item && item.local])
    expect(said).toEqual([
      ['c0', true],
      ['c2', false],
    ])
  })

  test('a higher revision than a local decision rests on > wins', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c1', 'pause', 5))
    decide(ledger, 'resume', 'd1')
    expect(take(ledger, control('c2', 'pause', 6))).toBe('accept')
    expect(ledger.intendedState('t1')).toBe('paused')
  })

  test('too much undecided or unacknowledged > full, until something is forgotten', () => {
    const ledger = new Ledger([JOURNAL])
    for (const index of range(limits.LEDGER_CONTROLS_MAX)) {
      expect(take(ledger, control(`c${index}`, 'bump', index + 1))).toBe('accept')
      if (index % 2 === 0) settle(ledger, `c${index}`)
    }
    const more = control('more', 'bump', limits.LEDGER_CONTROLS_MAX + 1)
    expect(take(ledger, more)).toBe('full')
    expect(take(ledger, control('c0', 'bump', 1)), 'a duplicate is one still').toBe('duplicate')
    acknowledgeAll(ledger)
    expect(take(ledger, more), 'a refusal as full leaves no trace').toBe('accept')
  })
})

describe('given a crash between intent and outcome (R-28)', () => {
  test.each<[string, Delivery, string]>([
    ['pause', 'atMostOnce', 'apply'],
    ['cancel', 'atMostOnce', 'apply'],
    ['reload', 'atLeastOnce', 'apply'],
    ['bump', 'atMostOnce', 'fail'],
  ])('%s, %s > %s', (action, delivery, kind) => {
    const item = control('c1', action, 1)
    const records: LedgerRecord[] = [JOURNAL, task('t1'), { type: 'intent', control: item, delivery }]
    const [interrupted] = new Ledger(records).interrupted()
    expect(interrupted?.kind).toBe(kind)
    if (interrupted?.kind === 'fail') {
      expect(interrupted.record).toMatchObject({ type: 'outcome', outcome: { code: 'interrupted' } })
    }
    if (isStateVerb(action)) expect(new Ledger(records).intendedState('t1')).not.toBe('running')
  })

  test('decided > is not interrupted, and is reported again', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c1', 'bump', 1))
    settle(ledger, 'c1')
    const again = new Ledger(compactRecords(ledger.state, 0))
    expect(again.interrupted()).toEqual([])
    expect(again.report()).toEqual({ ...ledger.report(), journalOpenedAt: again.openedAt })
  })
})

describe('given intended states', () => {
  test('pause and resume > the last one holds', () => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    expect(ledger.intendedState('t1')).toBe('running')
    take(ledger, control('c1', 'pause', 1))
    expect(ledger.intendedState('t1'), 'the intention holds before it is applied').toBe('paused')
    settle(ledger, 'c1')
    take(ledger, control('c2', 'resume', 2))
    expect(ledger.intendedState('t1')).toBe('running')
  })

  test.each(['pause', 'cancel'])('a %s that failed > falls back to what was intended before', (action) => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', action, 1))
    settle(ledger, 'c1', FAILED)
    expect(ledger.intendedState('t1')).toBe('running')
    expect(take(ledger, control('c2', 'pause', 2))).toBe('accept')
    expect(ledger.intendedState('t1')).toBe('paused')
  })

  test('a resume that failed > the task is still meant to stand still', () => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', 'pause', 1))
    settle(ledger, 'c1')
    take(ledger, control('c2', 'resume', 2))
    settle(ledger, 'c2', FAILED)
    expect(ledger.intendedState('t1')).toBe('paused')
  })

  test('a cancel > is final against controls and local decisions, until the task is dropped', () => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', 'cancel', 1))
    settle(ledger, 'c1')
    take(ledger, control('c2', 'resume', 2))
    settle(ledger, 'c2', FAILED)
    decide(ledger, 'resume', 'd1')
    expect(ledger.intendedState('t1')).toBe('cancelled')
    ledger.record({ type: 'drop', taskId: 't1', wallMs: 5 })
    expect(ledger.intendedState('t1')).toBe('running')
  })

  test('the journal is compacted while a pause is being applied, which then fails > it still falls back', () => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', 'pause', 1))
    const again = new Ledger(compactRecords(ledger.state, 0))
    settle(again, 'c1', FAILED)
    expect(again.intendedState('t1'), 'compaction must keep what an open intent falls back to').toBe(
      'running',
    )
  })

  test('the journal is compacted when a local decision stands above an open intent > the decision holds', () => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', 'pause', 1))
    decide(ledger, 'resume', 'd1')
    expect(new Ledger(compactRecords(ledger.state, 0)).intendedState('t1')).toBe('running')
  })

  test('the journal is compacted after a cancelled task was dropped > its id may be used again', () => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', 'cancel', 1))
    settle(ledger, 'c1')
    ledger.record({ type: 'drop', taskId: 't1', wallMs: 5 })
    const again = new Ledger(compactRecords(ledger.state, 6))
    expect(again.intendedState('t1'), 'an unacknowledged outcome is no intention').toBe('running')
  })
})

describe('given a report', () => {
  test('more than fits > the oldest of each kind, and the rest once those are acknowledged', () => {
    const ledger = new Ledger([JOURNAL])
    const count = limits.REPORTS_PER_SYNC_MAX + 3
    for (const index of range(count)) {
      take(ledger, control(`c${index}`, 'bump', index + 1))
      settle(ledger, `c${index}`)
      take(ledger, control(`o${index}`, 'open', index + 1))
      decide(ledger, 'pause', `d${index}`, `t${index}`)
    }
    const report = ledger.report()
    for (const part of [report.outcomes, report.received, report.decisions]) {
      expect(part).toHaveLength(limits.REPORTS_PER_SYNC_MAX)
    }
    expect(report.outcomes[0]?.controlId).toBe('c0')
    acknowledgeAll(ledger)
    expect(ledger.report().outcomes.map((item) => item.controlId)).toEqual(['c256', 'c257', 'c258'])
    expect(ledger.report().decisions).toHaveLength(3)
  })

  test('a task decided on twice > only the newer decision is reported, as it says all that the hub needs', () => {
    const ledger = new Ledger([JOURNAL])
    decide(ledger, 'pause', 'd1')
    take(ledger, control('c1', 'resume', 4))
    decide(ledger, 'pause', 'd2')
    decide(ledger, 'pause', 'other', 't2')
    expect(ledger.report().decisions).toEqual([
      { decisionId: 'd2', taskId: 't1', action: 'pause', basedOn: { epoch: 1, revision: 4 } },
      expect.objectContaining({ decisionId: 'other' }),
    ])
  })

  test('more decisions than LEDGER_DECISIONS_MAX > the oldest is no longer reported, its lane still holds', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c1', 'resume', 5))
    for (const index of range(limits.LEDGER_DECISIONS_MAX + 1)) {
      decide(ledger, 'pause', `d${index}`, index === 0 ? 't1' : `u${index}`)
    }
    expect(ledger.state.decisions.size).toBe(limits.LEDGER_DECISIONS_MAX)
    expect(ledger.report().decisions[0]?.decisionId).toBe('d1')
    expect(take(ledger, control('c2', 'resume', 4))).toBe('stale')
  })

  test('refusals > are bounded, and never crowd out outcomes', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('high', 'bump', 10_000))
    for (const index of range(2 * limits.REPORTS_PER_SYNC_MAX)) take(ledger, control(`s${index}`, 'bump', 1))
    settle(ledger, 'high')
    const { outcomes } = ledger.report()
    expect(outcomes).toHaveLength(limits.REPORTS_PER_SYNC_MAX)
    expect(outcomes[0]?.controlId).toBe('high')
  })
})

describe('given an acknowledgement (R-26)', () => {
  test('of what the report did not carry > forgets nothing', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c1', 'bump', 1))
    const report = ledger.report()
    settle(ledger, 'c1')
    expect(ledger.acknowledge(report, ['c1', 'other']), 'it was only received when that was sent').toBe(false)
    expect(ledger.forgetRecord()).toBe(undefined)
    expect(ledger.report().outcomes).toHaveLength(1)
  })

  test('of some > forgets just these, and the same again is nothing', () => {
    const ledger = new Ledger([JOURNAL])
    for (const id of ['c1', 'c2']) {
      take(ledger, control(id, 'bump', id === 'c1' ? 1 : 2))
      settle(ledger, id)
    }
    decide(ledger, 'pause', 'd1')
    const report = ledger.report()
    const rest = { outcomes: [{ controlId: 'c1' }], decisions: [] }
    expect(ledger.acknowledge(report, ['c2', 'd1'])).toBe(true)
    expect(ledger.report(), 'the hub has it: report it no more').toMatchObject(rest)
    expect([ledger.unacknowledgedOutcomes, ledger.state.outcomes.size], 'of those on disk').toEqual([1, 2])
    expect(ledger.acknowledge(report, ['c2', 'd1'])).toBe(false)
    expect(ledger.forgetRecord()).toEqual({ type: 'forget', ids: ['c2', 'd1'] })
    forget(ledger)
    expect(ledger.report()).toMatchObject(rest)
    expect([ledger.unacknowledgedOutcomes, ledger.state.outcomes.size]).toEqual([1, 1])
    expect(ledger.forgetRecord()).toBe(undefined)
  })

  test('and a crash before it is on disk > reports once more, and is acknowledged again', () => {
    const records: readonly LedgerRecord[] = [
      JOURNAL,
      { type: 'intent', control: control('c1', 'bump', 1), delivery: 'atMostOnce' },
      { type: 'outcome', controlId: 'c1', outcome: { state: 'applied' } },
    ]
    const ledger = new Ledger(records)
    const { journalPosition } = ledger.report()
    ledger.acknowledge(ledger.report(), ['c1'])
    expect(ledger.report().journalPosition, 'tell the hub only of what is on disk (R-27)').toBe(
      journalPosition,
    )
    const again = new Ledger(records)
    expect(again.report().outcomes).toMatchObject([{ controlId: 'c1' }])
    expect(again.acknowledge(again.report(), ['c1'])).toBe(true)
  })

  test('and the control comes again, from a hub that lost it > stale, as when it was forgotten', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c1', 'bump', 1))
    settle(ledger, 'c1')
    ledger.acknowledge(ledger.report(), ['c1'])
    expect(take(ledger, control('c1', 'bump', 1)), 'a duplicate would never be answered').toBe('stale')
    expect(ledger.report().outcomes).toMatchObject([{ controlId: 'c1', state: 'stale' }])
  })

  test('of all that the ledger can hold > it takes the next, which writes that these are forgotten', () => {
    const ledger = new Ledger([JOURNAL])
    for (const index of range(limits.LEDGER_CONTROLS_MAX)) {
      take(ledger, control(`c${index}`, 'bump', index + 1))
      settle(ledger, `c${index}`)
    }
    const next = control('next', 'bump', limits.LEDGER_CONTROLS_MAX + 1)
    expect(ledger.judge(next, 'atMostOnce').kind).toBe('full')
    const report = ledger.report()
    ledger.acknowledge(
      report,
      report.outcomes.map(({ controlId }) => controlId),
    )
    expect(ledger.judge(next, 'atMostOnce').kind, 'nothing else would write that they are').toBe('accept')
  })

  test('of a refusal, when the control was issued again and decided since > keeps the outcome', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('high', 'bump', 5))
    take(ledger, control('c1', 'bump', 3))
    const report = ledger.report()
    take(ledger, control('c1', 'bump', 6))
    settle(ledger, 'c1')
    expect(ledger.acknowledge(report, ['c1'])).toBe(false)
    expect(ledger.report().outcomes).toEqual([{ controlId: 'c1', epoch: 1, revision: 6, state: 'applied' }])
  })

  test('of a refusal that was made again since > keeps the later one', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('high', 'bump', 5))
    take(ledger, control('c1', 'bump', 3))
    const report = ledger.report()
    take(ledger, control('c1', 'bump', 4))
    ledger.acknowledge(report, ['c1'])
    expect(ledger.report().outcomes).toMatchObject([{ controlId: 'c1', revision: 4, state: 'stale' }])
  })
})

describe('given lanes', () => {
  const DAY = limits.LANE_RETENTION_MS

  function endedAt(wallMs: number): Ledger {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', 'pause', 5))
    settle(ledger, 'c1')
    acknowledgeAll(ledger)
    ledger.record({ type: 'drop', taskId: 't1', wallMs })
    return ledger
  }

  test.each([
    [DAY - 1, 'stale'],
    [DAY, 'accept'],
  ])('compacted %i ms after the end of the task > an old control is judged %s', (wallMs, verdict) => {
    const again = new Ledger(compactRecords(endedAt(0).state, wallMs))
    expect(take(again, control('c0', 'pause', 4))).toBe(verdict)
  })

  test('the task lives > its lanes are kept whatever the time', () => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', 'pause', 5))
    settle(ledger, 'c1')
    expect(take(new Ledger(compactRecords(ledger.state, 9 * DAY)), control('c0', 'pause', 4))).toBe('stale')
  })

  test('a task of the same id is taken on again > its lanes live again', () => {
    const ledger = endedAt(0)
    ledger.record(task('t1'))
    const again = new Ledger(compactRecords(ledger.state, 2 * DAY))
    expect(take(again, control('c0', 'pause', 4)), 'keep a mark while the task lives').toBe('stale')
    again.record({ type: 'drop', taskId: 't1', wallMs: 2 * DAY })
    const later = new Ledger(compactRecords(again.state, 2 * DAY + 5))
    expect(take(later, control('c00', 'pause', 4)), 'and 24 h from its last end').toBe('stale')
  })

  test('an outcome that the hub has not acknowledged for a day > its lane keeps the whole mark', () => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', 'bump', 5))
    settle(ledger, 'c1')
    take(ledger, control('c2', 'bump', 9))
    settle(ledger, 'c2')
    ledger.acknowledge(ledger.report(), ['c2'])
    forget(ledger)
    ledger.record({ type: 'drop', taskId: 't1', wallMs: 0 })
    const again = new Ledger(compactRecords(ledger.state, 2 * DAY))
    expect(take(again, control('c2', 'bump', 9))).toBe('stale')
  })

  test('a hub that names ever new tasks > cannot make lanes and intentions grow without end', () => {
    const ledger = new Ledger([JOURNAL, task('t1')])
    take(ledger, control('c1', 'pause', 1))
    settle(ledger, 'c1')
    for (const index of range(limits.LEDGER_LANES_MAX + 500)) {
      const id = `x${index}`
      take(ledger, control(id, index % 2 === 0 ? 'pause' : 'cancel', index + 2, id))
      settle(ledger, id, index % 3 === 0 ? { state: 'applied' } : FAILED)
      if (index % 200 === 0) acknowledgeAll(ledger)
      if (index % 200 === 100) acknowledgeAll(ledger)
    }
    expect(ledger.state.lanes.size, 'forget lanes of tasks that are not held').toBeLessThanOrEqual(
      limits.LEDGER_LANES_MAX,
    )
    expect(ledger.state.intended.size).toBeLessThanOrEqual(limits.LEDGER_LANES_MAX)
    expect(take(ledger, control('c0', 'pause', 1)), 'the lane of a task at work goes last').toBe('stale')
    expect(ledger.intendedState('t1')).toBe('paused')
  })

  test('a failed control of an unknown task > leaves no intention behind', () => {
    const ledger = new Ledger([JOURNAL])
    take(ledger, control('c1', 'cancel', 1, 'unknown'))
    settle(ledger, 'c1', FAILED)
    expect(ledger.state.intended.size).toBe(0)
  })
})
