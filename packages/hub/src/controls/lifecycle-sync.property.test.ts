import { limits, parseSyncRequest, type Json } from '@downlink/protocol'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { decideSync } from './lifecycle-sync.ts'
import { createControl, createTask } from './lifecycle.ts'
import { emptyMailbox, type Mailbox } from './mailbox.ts'

const time = {
  wallMs: 1_767_225_600_000,
  serviceMs: 1_000,
  epoch: 1,
  hubBoot: 'hub-1',
  beganServiceMs: 1_000,
}
const write = { firstWallMs: time.wallMs, firstServiceMs: 1, lastServiceMs: 1 }
const ids = ['a1~1', 'a1~2', 'a1~3']
const actions = ['pause', 'cancel', 'tune']

function mailbox(): Mailbox {
  let before = emptyMailbox('a1')
  ids.forEach((controlId, n) => {
    const action = actions[n] ?? ''
    const control = { controlId, action, taskId: `t${n}`, args: null, operator: 'ada' }
    before = createControl(before, control, time, new Map()).mailbox
  })
  return createTask(before, { taskId: 't0', kind: 'k', input: null, operator: 'ada' }, time, new Map())
    .mailbox
}

// Words that mean something, beside anything: pure noise would never get past the readers.
const word = fc.constantFrom(...ids, 't0', 't1', 'applied', 'failed', 'stale', 'cancelled', '', '__proto__')
const number = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0, limits.REVISION_MAX, 2 ** 53, -1))
const loose = fc.oneof(word, number, fc.jsonValue({ maxDepth: 2 }))
const record = (names: readonly string[]): fc.Arbitrary<unknown> =>
  fc.record(Object.fromEntries(names.map((name) => [name, loose])), { requiredKeys: [] })
const revision = fc.oneof(record(['epoch', 'revision']), fc.constant({ epoch: 1, revision: 2 }), loose)
const outcome = fc.tuple(
  record(['controlId', 'state', 'epoch', 'revision', 'agoMs', 'code', 'local']),
  revision,
)
const request = fc.record(
  {
    tasks: fc.oneof(fc.array(record(['taskId', 'status', 'progress', 'result', 'log'])), loose),
    outcomes: fc.oneof(
      fc.array(
        outcome.map(([base, highWater]) => ({ epoch: 1, revision: 1, ...(base as object), highWater })),
      ),
      loose,
    ),
    decisions: fc.array(record(['decisionId', 'taskId', 'action', 'basedOn'])),
    received: fc.array(loose),
    freeSlots: loose,
    journalId: loose,
    bootNonce: loose,
    connectCounter: loose,
    labels: fc.oneof(fc.dictionary(word, loose), loose),
  },
  { requiredKeys: [] },
)

test('given any two syncs > they are decided, the mailbox keeps its bounds, and nobody else’s ids appear', () => {
  fc.assert(
    fc.property(request, request, fc.boolean(), (first, second, isWritten) => {
      const written = new Map(isWritten ? ids.map((id) => [id, write]) : [])
      let before = mailbox()
      for (const body of [first, second]) {
        const sync = parseSyncRequest(JSON.parse(JSON.stringify({ ...body, agentId: 'a1' })) as Json)
        if (sync === undefined) throw new Error('The agentId is there, so the sync must be read.')
        const decision = decideSync(before, sync, time, written)
        const after = decision.mailbox
        expect(after.version).toBe(before.version + (after === before ? 0 : 1))
        expect([...after.open, ...after.settled].map((entry) => entry.controlId).toSorted()).toEqual(ids)
        expect(after.earlierBoots.length).toBeLessThanOrEqual(limits.MAILBOX_BOOTS_MAX)
        expect(Number.isSafeInteger(after.revision) && Number.isSafeInteger(after.epoch)).toBe(true)
        if ('answer' in decision) {
          expect(decision.answer.acked.length).toBeLessThanOrEqual(2 * limits.REPORTS_PER_SYNC_MAX)
          for (const control of decision.answer.controls) expect(ids).toContain(control.controlId)
        }
        before = JSON.parse(JSON.stringify(after)) as Mailbox
        expect(before, 'what is stored must read back as it was').toEqual(after)
      }
    }),
    { numRuns: 400 },
  )
})
