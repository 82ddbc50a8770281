/** Whether each way in which an audit trail can be wrong is found. */
import type { AuditEntry, ControlRecord, Json } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { auditViolations, type AskedControl, type AuditEvidence } from './audit-checker.ts'

const at = (ms: number): string => new Date(ms).toISOString()
const asked: AskedControl = {
  number: 7,
  operator: 'ada',
  agentId: 'a1',
  taskId: 't1',
  action: 'pause',
  answer: 'accepted',
}
const created: ControlRecord = {
  controlId: 'a1~1',
  agentId: 'a1',
  taskId: 't1',
  action: 'pause',
  epoch: 1,
  revision: 1,
  lane: 'state',
  args: { number: 7 },
  outcome: { state: 'pending' },
  stamps: { created: { at: at(10), by: 'ada' } },
}
const settled: ControlRecord = {
  ...created,
  outcome: { state: 'applied', confirmedBy: 'agent' },
  stamps: {
    ...created.stamps,
    written: { at: at(20), by: 'hub' },
    received: { at: at(30), by: 'agent' },
    applied: { at: at(30), by: 'agent' },
  },
}
let lastId = 0
const entry = (kind: string, record: ControlRecord, atMs: number): AuditEntry => ({
  id: String(++lastId),
  at: at(atMs),
  kind: `control.${kind}`,
  agentId: record.agentId,
  controlId: record.controlId,
  taskId: record.taskId,
  data: record as unknown as Json,
})
const made = entry('created', created, 10)
const done = entry('settled', settled, 40)
const good: AuditEvidence = { asked: [asked], records: [settled], entries: [made, done] }
const stamped = (stamps: Record<string, number>): AuditEvidence => ({
  ...good,
  records: [
    {
      ...settled,
      stamps: Object.fromEntries(Object.entries(stamps).map(([name, ms]) => [name, { at: at(ms), by: 'x' }])),
    },
  ],
})

test('given a trail that agrees > nothing is found', () => {
  expect(auditViolations(good)).toEqual([])
  const lost = { ...asked, answer: 'unanswered' } as const
  expect(auditViolations({ ...good, asked: [lost] }), 'it may have been made').toEqual([])
  const nothing = { asked: [lost], records: [], entries: [] }
  expect(auditViolations(nothing), 'or not').toEqual([])
})

describe('given a trail that does not agree > it is found', () => {
  const other = { ...created, controlId: 'a1~2' }
  test.each<[string, AuditEvidence, RegExp]>([
    ['an accepted control is missing', { ...good, entries: [] }, /accepted, and is not on the trail/],
    [
      'a control was made twice',
      { ...good, entries: [made, entry('created', created, 11), done] },
      /created once/,
    ],
    [
      'it is settled before it is made',
      { ...good, entries: [done, { ...made, id: '99' }] },
      /created once, and first/,
    ],
    [
      'it is settled twice',
      { ...good, entries: [made, done, entry('settled', settled, 41)] },
      /settled twice/,
    ],
    [
      'one request made two',
      { ...good, entries: [made, done, entry('created', other, 50)] },
      /are of one request/,
    ],
    ['nobody asked for it', { ...good, asked: [] }, /nobody asked for/],
    ['it was refused', { ...good, asked: [{ ...asked, answer: 'refused' }] }, /was refused, and is on/],
    ['it is another operator’s', { ...good, asked: [{ ...asked, operator: 'bob' }] }, /is said to be ada/],
    ['the outcome is missing', { ...good, entries: [made] }, /the trail does not say so/],
    [
      'the outcome is another',
      { ...good, records: [{ ...settled, outcome: { state: 'expired' } }] },
      /on the trail/,
    ],
    ['it goes back in time', { ...good, entries: [made, { ...done, at: at(1) }] }, /goes back in time/],
    [
      'the listing is out of order',
      { ...good, entries: [{ ...made, id: '9999' }, done] },
      /is listed behind/,
    ],
    [
      'it was applied before it was received',
      stamped({ created: 10, received: 31, applied: 30 }),
      /before it was received/,
    ],
    ['it was written before it was made', stamped({ created: 10, written: 9 }), /before it was created/],
    ['nobody made it', stamped({ written: 10 }), /no stamp of its making/],
  ])('when %s', (_, evidence, found) => {
    expect(auditViolations(evidence).join('\n')).toMatch(found)
  })
})
