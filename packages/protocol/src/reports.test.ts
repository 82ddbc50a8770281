/** Sync requests and replies: read without trust, cut at their limits, and given back as they were. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseJson, type Json } from './json.ts'
import * as limits from './limits.ts'
import {
  laterRevision,
  parseSyncReply,
  parseSyncRequest,
  syncRequestToJson,
  type SyncRequest,
} from './reports.ts'
import { isTerminalStatus } from './task-report.ts'

const EMPTY = { agentId: 'a', tasks: [], freeSlots: 0, outcomes: [], received: [], decisions: [] }
const EMPTY_REPLY = { controls: [], newTasks: [], watching: false, acked: [] }
const MANY = 100_000

/** The request with these members beside `agentId`; fails the test if it is refused. */
function request(members: Readonly<Record<string, Json>>): SyncRequest {
  const parsed = parseSyncRequest({ agentId: 'a', ...members })
  if (parsed === undefined) throw new Error('A request with an agentId must be accepted.')
  return parsed
}

/** `count` times the same object, which counts how often its member `name` is read. */
function counting(name: string, value: Json, rest: object = {}): { items: Json[]; reads: () => number } {
  let reads = 0
  const item = Object.defineProperty({ ...rest }, name, {
    enumerable: true,
    get: () => {
      reads += 1
      return value
    },
  }) as Json
  return { items: Array.from({ length: MANY }, () => item), reads: () => reads }
}

describe('given a sync request (R-30)', () => {
  test('of an original > is read, with what it does not send left empty', () => {
    const tasks = [{ taskId: 't1', status: 'downloading', progress: 0.5, updatedAt: 5, speed: 7 }]
    expect(parseSyncRequest({ agentId: 'a', tasks, freeSlots: 2, disk: {} })).toEqual({
      ...EMPTY,
      tasks: [{ taskId: 't1', status: 'downloading', progress: 0.5, updatedAt: 5 }],
      freeSlots: 2,
    })
  })

  test.each([null, 5, 'x', [], {}, { agentId: 5 }, { agentId: '' }, { agentId: 'x'.repeat(129) }])(
    '%j > is refused: nobody knows whose it is',
    (value) => {
      expect(parseSyncRequest(value as Json)).toBeUndefined()
    },
  )

  test.each([
    'tasks',
    'freeSlots',
    'outcomes',
    'received',
    'decisions',
    'heartbeat',
    'labels',
    'journalId',
    'bootNonce',
    'version',
  ])('%s of a wrong type > is left out', (name) => {
    for (const value of [null, true, -1, 1.5, {}, [null, 5, 'x', {}, []]] as Json[]) {
      const { received: _, labels: __, ...rest } = request({ [name]: value })
      const { received: ___, ...empty } = EMPTY
      expect(rest, `${name} = ${JSON.stringify(value)}`).toEqual(empty)
    }
  })

  test('a boot > needs both its nonce and its counter', () => {
    expect(request({ bootNonce: 'b', connectCounter: 3 }).boot).toEqual({ bootNonce: 'b', connectCounter: 3 })
    expect(request({ bootNonce: 'b' })).not.toHaveProperty('boot')
    expect(request({ connectCounter: 3 })).not.toHaveProperty('boot')
  })

  test.each([
    [7, 1],
    [-1, 0],
    [0.25, 0.25],
  ])('progress %d > is %d', (progress, expected) => {
    expect(request({ tasks: [{ taskId: 't', progress }] }).tasks[0]?.progress).toBe(expected)
  })

  test('sentences that are too long > are cut; words that are too long are left out', () => {
    const long = 'x'.repeat(5_000)
    const [task] = request({
      tasks: [{ taskId: 't', status: long, kind: long, message: long, errorMessage: long }],
    }).tasks
    expect(task).toEqual({
      taskId: 't',
      status: '',
      progress: 0,
      updatedAt: 0,
      message: 'x'.repeat(limits.MESSAGE_CHARS_MAX),
      errorMessage: 'x'.repeat(limits.MESSAGE_CHARS_MAX),
    })
  })

  test('a result that is too large > is left out, and the task is not', () => {
    const result = 'x'.repeat(limits.TASK_RESULT_BYTES_MAX)
    expect(request({ tasks: [{ taskId: 't', status: 'completed', result }] }).tasks).toEqual([
      { taskId: 't', status: 'completed', progress: 0, updatedAt: 0 },
    ])
  })

  test('a log that is too long > is cut in lines and in length', () => {
    const lines = ['oldest', 5, ...Array.from({ length: 600 }, () => 'x'.repeat(5_000))]
    const log = request({ tasks: [{ taskId: 't', log: { nextLine: 602, lines } }] }).tasks[0]?.log
    expect(log?.lines).toHaveLength(limits.TASK_LOG_LINES_MAX)
    expect(log?.lines[0]).toHaveLength(limits.TASK_LOG_LINE_BYTES_MAX)
  })

  test('a revision beyond belief > is not taken in, or it would stand above all that follows', () => {
    const outcome = { controlId: 'a~1', epoch: 1, revision: 1, state: 'stale', local: false }
    const highWater = { epoch: limits.REVISION_MAX + 1, revision: 1 }
    expect(request({ outcomes: [{ ...outcome, highWater }] }).outcomes).toEqual([])
    expect(
      request({ outcomes: [{ ...outcome, highWater: { epoch: limits.REVISION_MAX, revision: 1 } }] })
        .outcomes,
    ).toHaveLength(1)
  })

  test('labels > are cut in number, and `__proto__` is left out, as whoever copies it would set the prototype', () => {
    const labels = JSON.parse(
      `{"__proto__":"p",${Array.from({ length: 50 }, (_, index) => `"l${index}":"v"`).join(',')}}`,
    ) as Json
    const parsed = request({ labels }).labels ?? {}
    expect(Object.keys(parsed)).toHaveLength(limits.LABELS_MAX)
    expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype)
    expect(Object.hasOwn(parsed, '__proto__')).toBe(false)
  })

  test.each([
    ['applied', { state: 'applied' }, { state: 'applied' }],
    ['failed without a code', { state: 'failed' }, { state: 'failed', code: 'failed', message: '' }],
    [
      'stale',
      { state: 'stale', highWater: { epoch: 2, revision: 3 } },
      { state: 'stale', highWater: { epoch: 2, revision: 3 }, local: false },
    ],
  ])('an outcome that is %s > is read', (_what, said, expected) => {
    const base = { controlId: 'a~1', epoch: 1, revision: 2 }
    expect(request({ outcomes: [{ ...base, ...said }] }).outcomes).toEqual([{ ...base, ...expected }])
  })

  test.each<[string, Json]>([
    ['without an id', { epoch: 1, revision: 1, state: 'applied' }],
    ['without a revision', { controlId: 'a', epoch: 1, state: 'applied' }],
    ['with a revision that is none', { controlId: 'a', epoch: 1, revision: 1e300, state: 'applied' }],
    ['of an unknown state', { controlId: 'a', epoch: 1, revision: 1, state: 'maybe' }],
    ['stale without a mark', { controlId: 'a', epoch: 1, revision: 1, state: 'stale' }],
  ])('an outcome %s > is left out', (_what, outcome) => {
    expect(request({ outcomes: [outcome] }).outcomes).toEqual([])
  })

  test('a local decision > needs a state verb and what it rests on', () => {
    const good = { decisionId: 'd', taskId: 't', action: 'pause', basedOn: { epoch: 1, revision: 2 } }
    const decisions = [
      good,
      { ...good, action: 'bump' },
      { ...good, basedOn: 5 },
      { ...good, decisionId: '' },
    ]
    expect(request({ decisions }).decisions).toEqual([good])
  })

  test.each([
    ['tasks', counting('taskId', 't'), limits.TASKS_PER_SYNC_MAX],
    [
      'outcomes',
      counting('controlId', 'a', { epoch: 1, revision: 1, state: 'applied' }),
      limits.REPORTS_PER_SYNC_MAX,
    ],
    [
      'decisions',
      counting('decisionId', 'a', { taskId: 't', action: 'pause', basedOn: { epoch: 1, revision: 1 } }),
      limits.REPORTS_PER_SYNC_MAX,
    ],
  ] as const)('100,000 %s > are cut before they are read', (name, { items, reads }, count) => {
    expect(request({ [name]: items })[name]).toHaveLength(count)
    expect(reads(), 'cut first, so that one sync has bounded cost').toBeLessThanOrEqual(4 * count)
  })

  test('100,000 receipts > are cut', () => {
    const received = Array.from({ length: MANY }, () => 'a')
    expect(request({ received }).received).toHaveLength(limits.REPORTS_PER_SYNC_MAX)
  })
})

describe('given a sync reply (R-30)', () => {
  test('of an original server > is read', () => {
    const value = {
      controls: [{ action: 'cancel', taskId: 't', deleteFiles: true }],
      newTasks: [{ id: 'n', url: 'u' }],
      watching: true,
      upgrade: { version: '2' },
    }
    expect(parseSyncReply(value)).toEqual({
      controls: [{ action: 'cancel', taskId: 't', args: { deleteFiles: true } }],
      newTasks: [{ id: 'n' }],
      watching: true,
      upgrade: { version: '2' },
      acked: [],
    })
  })

  test.each([
    null,
    5,
    'x',
    [],
    {},
    { controls: 5, newTasks: {}, watching: 'yes', upgrade: 5, acked: 'x', nextSyncMs: -1 },
  ])('%j > is an empty one', (value) => {
    expect(parseSyncReply(value as Json)).toEqual(EMPTY_REPLY)
  })

  test.each([
    [0, limits.NEXT_SYNC_MS_MIN],
    [5_000, 5_000],
    [Number.MAX_SAFE_INTEGER, limits.NEXT_SYNC_MS_MAX],
  ])('a pace of %i ms > is %i ms', (nextSyncMs, expected) => {
    expect(parseSyncReply({ nextSyncMs }).nextSyncMs).toBe(expected)
  })

  test('100,000 of everything > are cut', () => {
    const fill = (item: Json): Json => Array.from({ length: MANY }, () => item)
    const reply = parseSyncReply({
      newTasks: fill({ id: 't' }),
      acked: fill('a'),
      controls: fill({ action: 'a', taskId: 't' }),
    })
    expect(reply.newTasks).toHaveLength(limits.NEW_TASKS_PER_SYNC_MAX)
    expect(reply.acked, 'room for all outcomes and all decisions of one report').toHaveLength(
      2 * limits.REPORTS_PER_SYNC_MAX,
    )
    expect(reply.controls).toHaveLength(limits.CONTROLS_PER_MESSAGE_MAX)
  })
})

const count = fc.maxSafeNat().map((value) => Math.min(value, limits.REVISION_MAX))
const revision = fc.record({ epoch: count, revision: count })
const word = fc.string({ minLength: 1, maxLength: 40 })
const outcome = fc
  .tuple(word, revision, revision, fc.constantFrom('applied', 'failed', 'stale'), fc.boolean())
  .map(([controlId, issued, highWater, state, local]) => {
    const base = { controlId, ...issued }
    if (state === 'stale') return { ...base, state: 'stale' as const, highWater, local }
    if (state === 'failed') return { ...base, state: 'failed' as const, code: 'c', message: 'm' }
    return { ...base, state: 'applied' as const, agoMs: 5 }
  })
const anyRequest: fc.Arbitrary<SyncRequest> = fc.record(
  {
    agentId: word,
    tasks: fc.array(
      fc.record({
        taskId: word,
        status: fc.string({ maxLength: 32 }),
        progress: fc.double({ min: 0, max: 1, noNaN: true }),
        updatedAt: fc.nat(),
      }),
    ),
    freeSlots: fc.nat({ max: 1_000_000 }),
    outcomes: fc.array(outcome),
    received: fc.array(word),
    decisions: fc.array(
      fc.record({
        decisionId: word,
        taskId: word,
        action: fc.constantFrom('cancel' as const, 'pause' as const, 'resume' as const),
        basedOn: revision,
      }),
    ),
    journalId: word,
    boot: fc.record({ bootNonce: word, connectCounter: fc.maxSafeNat() }),
    heartbeat: fc.record({ counter: fc.nat(), hubMs: fc.maxSafeNat(), agoMs: fc.nat() }),
  },
  { requiredKeys: ['agentId', 'tasks', 'freeSlots', 'outcomes', 'received', 'decisions'] },
)

describe('given anything', () => {
  test('a request of ours > comes back as it was', () => {
    fc.assert(
      fc.property(anyRequest, (sent) => {
        const wire = JSON.parse(JSON.stringify(syncRequestToJson(sent))) as Json
        expect(parseSyncRequest(wire)).toEqual(JSON.parse(JSON.stringify(sent)))
      }),
    )
  })

  test('any JSON > is read without a throw', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const value = {
          agentId: 'a',
          tasks: [a, b],
          outcomes: [a, b],
          decisions: [b],
          labels: a,
          heartbeat: b,
        } as Json
        expect(parseSyncRequest(value)?.agentId).toBe('a')
        expect(parseSyncReply(a as Json).controls).toBeDefined()
      }),
    )
  })

  test('JSON that is too deep > is refused before it is read', () => {
    const deep = `{"agentId":"a","labels":${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}}`
    expect(parseJson(deep, limits.JSON_DEPTH_MAX)).toBeUndefined()
  })
})

test.each(['cancelled', 'completed', 'failed', 'error'])('given the status %s > it is an end', (status) => {
  expect(isTerminalStatus(status)).toBe(true)
})

test.each(['', 'running', 'paused', 'queued', 'downloading'])(
  'given the status "%s" > it is none',
  (status) => {
    expect(isTerminalStatus(status)).toBe(false)
  },
)

test('given two revisions > the later one is kept', () => {
  const early = { epoch: 1, revision: 9 }
  const late = { epoch: 2, revision: 1 }
  expect(laterRevision(early, late)).toBe(late)
  expect(laterRevision(late, early)).toBe(late)
})
