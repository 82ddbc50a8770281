/** The agent's ledger against the vectors that any other agent could run. */
import { readFileSync } from 'node:fs'
import type { Delivery, IssuedControl, Revision, StateVerb } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import type { LedgerRecord, Outcome, TaskEndRecord } from './ledger-records.ts'
import { compactRecords } from './ledger-state.ts'
import { Ledger, type LedgerReport } from './ledger.ts'

type Step =
  | { readonly control: IssuedControl; readonly delivery: Delivery; readonly verdict: string }
  | { readonly outcome: Outcome; readonly controlId: string }
  | {
      readonly decide: { readonly decisionId: string; readonly taskId: string; readonly action: StateVerb }
      readonly basedOn: Revision
    }
  | { readonly task: { readonly taskId: string; readonly kind: string } }
  | { readonly end: { readonly taskId: string; readonly status: TaskEndRecord['status'] } }
  | { readonly drop: string }
  | { readonly report: Omit<LedgerReport, 'journalId' | 'journalPosition' | 'journalOpenedAt'> }
  | { readonly ack: readonly string[] }
  | { readonly intended: string; readonly state: string }
  | { readonly crash: readonly { readonly controlId: string; readonly kind: string }[] }

interface Vector {
  readonly name: string
  readonly rule: string
  readonly why: string
  readonly steps: readonly Step[]
}

const file = new URL('../../../../vectors/controls/ledger.json', import.meta.url)
const vectors = JSON.parse(readFileSync(file, 'utf8')) as readonly Vector[]

/** An agent with a journal, which it may compact when it is read again. */
interface Bench {
  ledger: Ledger
  disk: readonly LedgerRecord[]
  sent?: LedgerReport
  readonly isCompacting: boolean
}

function newBench(isCompacting: boolean): Bench {
  const disk: readonly LedgerRecord[] = [{ type: 'journal', journalId: 'journal-1' }]
  return { ledger: new Ledger(disk), disk, isCompacting }
}

function keep(bench: Bench, record: LedgerRecord): void {
  bench.disk = [...bench.disk, record]
  bench.ledger.record(record)
}

function take(bench: Bench, step: Step, why: string): void {
  if ('control' in step) {
    const verdict = bench.ledger.judge(step.control, step.delivery)
    expect(verdict.kind, why).toBe(step.verdict)
    if (verdict.kind === 'accept') keep(bench, verdict.record)
  } else if ('outcome' in step) {
    keep(bench, { type: 'outcome', controlId: step.controlId, outcome: step.outcome })
  } else if ('decide' in step) {
    const { decisionId, taskId, action } = step.decide
    const record = bench.ledger.decideLocally(taskId, action, decisionId)
    expect(record, why).toMatchObject({ basedOn: step.basedOn })
    keep(bench, record)
  } else if ('task' in step) keep(bench, { type: 'task', ...step.task, input: null })
  else if ('end' in step) {
    keep(bench, { type: 'end', taskId: step.end.taskId, end: { status: step.end.status }, wallMs: 1 })
  } else if ('drop' in step) keep(bench, { type: 'drop', taskId: step.drop, wallMs: 2 })
  else look(bench, step, why)
}

type Look = Extract<Step, { report: unknown } | { ack: unknown } | { intended: string } | { crash: unknown }>

function look(bench: Bench, step: Look, why: string): void {
  if ('report' in step) {
    bench.sent = bench.ledger.report()
    const { journalPosition: _, journalOpenedAt: __, ...sent } = bench.sent
    expect(sent, why).toEqual({ journalId: 'journal-1', ...step.report })
  } else if ('ack' in step) {
    if (bench.sent !== undefined) bench.ledger.acknowledge(bench.sent, step.ack)
    const forget = bench.ledger.forgetRecord()
    if (forget !== undefined) keep(bench, forget)
  } else if ('intended' in step) {
    expect(bench.ledger.intendedState(step.intended), why).toBe(step.state)
  } else {
    if (bench.isCompacting) bench.disk = compactRecords(bench.ledger.state, 3)
    bench.ledger = new Ledger(bench.disk)
    const found = bench.ledger.interrupted().map((item) => ({
      controlId: item.kind === 'apply' ? item.control.controlId : idOf(item.record),
      kind: item.kind,
    }))
    expect(found, why).toEqual(step.crash)
  }
}

function idOf(record: LedgerRecord): string {
  return record.type === 'outcome' ? record.controlId : ''
}

describe.each([
  ['as it was written', false],
  ['compacted at every crash', true],
])('given the vectors of ledger.json and a journal %s', (_what, isCompacting) => {
  test.each(vectors)('$rule: $name', ({ why, steps }) => {
    const bench = newBench(isCompacting)
    for (const [index, step] of steps.entries()) take(bench, step, `step ${index + 1}: ${why}`)
  })
})

test('given the file of vectors > it holds every one', () => {
  expect(vectors.length, 'vectors are missing: restore vectors/controls from git').toBeGreaterThanOrEqual(19)
})
