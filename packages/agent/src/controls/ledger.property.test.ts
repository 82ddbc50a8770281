/** Whatever was recorded, in whatever order: compacting and reading again changes nothing that can be seen. */
import { canonicalJson, laneOf, type IssuedControl, type Json, type Revision } from '@downlink/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LedgerRecord, Outcome } from './ledger-records.ts'
import { compactRecords } from './ledger-state.ts'
import { Ledger } from './ledger.ts'

const TASKS = ['t1', 't2', 't3']
const ACTIONS = ['cancel', 'pause', 'resume', 'bump', 'reload']
const IDS = ['a', 'b', 'c', 'd', 'e', 'f']

const taskId = fc.constantFrom(...TASKS)
const id = fc.constantFrom(...IDS)
const revision: fc.Arbitrary<Revision> = fc.record({
  epoch: fc.integer({ min: 0, max: 2 }),
  revision: fc.integer({ min: 0, max: 9 }),
})
const control: fc.Arbitrary<IssuedControl> = fc
  .tuple(id, fc.constantFrom(...ACTIONS), taskId, revision)
  .map(([controlId, action, task, issued]) => ({
    controlId,
    action,
    taskId: task,
    lane: laneOf(action),
    args: null,
    ...issued,
  }))
const outcome: fc.Arbitrary<Outcome> = fc.constantFrom<Outcome>(
  { state: 'applied' },
  { state: 'failed', code: 'nope', message: '' },
)
const end = fc.constantFrom('completed' as const, 'failed' as const, 'cancelled' as const)

const record: fc.Arbitrary<LedgerRecord> = fc.oneof(
  {
    weight: 6,
    arbitrary: control.map((item): LedgerRecord => ({
      type: 'intent',
      control: item,
      delivery: 'atMostOnce',
    })),
  },
  {
    weight: 5,
    arbitrary: fc
      .tuple(id, outcome)
      .map(([controlId, said]): LedgerRecord => ({ type: 'outcome', controlId, outcome: said })),
  },
  { weight: 2, arbitrary: fc.uniqueArray(id).map((ids): LedgerRecord => ({ type: 'forget', ids })) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(id, taskId, fc.constantFrom('cancel' as const, 'pause' as const, 'resume' as const), revision)
      .map(([decisionId, task, action, basedOn]): LedgerRecord => ({
        type: 'decision',
        decisionId: `d-${decisionId}`,
        taskId: task,
        action,
        basedOn,
      })),
  },
  {
    weight: 2,
    arbitrary: taskId.map((task): LedgerRecord => ({
      type: 'task',
      taskId: task,
      kind: 'work',
      input: { task },
    })),
  },
  {
    weight: 1,
    arbitrary: taskId.map((task): LedgerRecord => ({ type: 'facts', taskId: task, facts: { pid: 1 } })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(taskId, end)
      .map(([task, status]): LedgerRecord => ({ type: 'end', taskId: task, end: { status }, wallMs: 1 })),
  },
  { weight: 1, arbitrary: taskId.map((task): LedgerRecord => ({ type: 'drop', taskId: task, wallMs: 2 })) },
)
const records = fc
  .array(record, { maxLength: 40 })
  .map((items): readonly LedgerRecord[] => [{ type: 'journal', journalId: 'j1' }, ...items])

/** Everything that a caller can learn from a ledger, refusals included. */
function observe(ledger: Ledger): unknown {
  // When it was opened is all that may differ.
  const { journalOpenedAt: _, ...report } = ledger.report()
  const verdicts = TASKS.flatMap((task) =>
    ACTIONS.flatMap((action) =>
      [0, 1, 2].flatMap((epoch) =>
        [0, 3, 6, 9, 10].map((n) => {
          const probe = {
            controlId: `p-${task}-${action}-${epoch}-${n}`,
            action,
            taskId: task,
            lane: laneOf(action),
          }
          return ledger.judge({ ...probe, epoch, revision: n, args: null }, 'atMostOnce').kind
        }),
      ),
    ),
  )
  return {
    report,
    verdicts,
    known: IDS.map((controlId) => ledger.judge({ ...PROBE, controlId }, 'atMostOnce').kind),
    refusals: ledger.report().outcomes,
    intended: TASKS.map((task) => ledger.intendedState(task)),
    interrupted: ledger.interrupted(),
    tasks: [...ledger.state.tasks.values()],
    decisions: TASKS.map((task) => ledger.decideLocally(task, 'pause', 'd')),
  }
}

const sorted = (items: readonly LedgerRecord[]): readonly string[] =>
  items.map((item) => canonicalJson(item as unknown as Json)).toSorted()

const PROBE: Omit<IssuedControl, 'controlId'> = {
  action: 'probe',
  taskId: 't1',
  lane: 'verb:probe',
  args: null,
  epoch: 9,
  revision: 9,
}

describe('given any sequence of records', () => {
  test('compacting and reading again > changes nothing that can be seen', () => {
    fc.assert(
      fc.property(records, (items) => {
        const ledger = new Ledger(items)
        const again = new Ledger(compactRecords(ledger.state, 3))
        expect(observe(again), 'mend compactRecords').toEqual(observe(ledger))
      }),
      { numRuns: 500 },
    )
  })

  test('compacting in the middle > changes nothing of what comes later', () => {
    fc.assert(
      fc.property(records, fc.array(record, { maxLength: 20 }), (items, later) => {
        const whole = new Ledger([...items, ...later])
        const compacted = compactRecords(new Ledger(items).state, 3)
        expect(observe(new Ledger([...compacted, ...later])), 'mend compactRecords').toEqual(observe(whole))
      }),
      { numRuns: 500 },
    )
  })

  test('compacting twice > makes the same records as once', () => {
    fc.assert(
      fc.property(records, (items) => {
        const once = compactRecords(new Ledger(items).state, 3)
        expect(sorted(compactRecords(new Ledger(once).state, 3))).toEqual(sorted(once))
      }),
      { numRuns: 200 },
    )
  })

  test('compacting, again and again > leaves the position of the journal where it was', () => {
    fc.assert(
      fc.property(records, (items) => {
        const ledger = new Ledger(items)
        const once = compactRecords(ledger.state, 0)
        const again = new Ledger(compactRecords(new Ledger(once).state, 0))
        expect(again.state.position, 'the hub would take it for an earlier copy').toBe(ledger.state.position)
        expect(again.openedAt).toBe(items.length)
      }),
    )
  })

  test('a control once accepted > is never accepted again', () => {
    fc.assert(
      fc.property(records, control, (items, item) => {
        const ledger = new Ledger(items)
        const verdict = ledger.judge(item, 'atMostOnce')
        fc.pre(verdict.kind === 'accept')
        if (verdict.kind !== 'accept') return
        ledger.record(verdict.record)
        expect(ledger.judge(item, 'atMostOnce').kind).toBe('duplicate')
        ledger.record({ type: 'outcome', controlId: item.controlId, outcome: { state: 'applied' } })
        ledger.record({ type: 'forget', ids: [item.controlId] })
        expect(ledger.judge(item, 'atMostOnce').kind, 'its lane keeps the mark').toBe('stale')
      }),
      { numRuns: 300 },
    )
  })
})
