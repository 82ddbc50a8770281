/** The control loop over a journal and runs in the test's hands. */
import { limits, type Control } from '@downlink/protocol'
import { beforeEach, describe, expect, test } from 'vitest'
import { createWorkbench, issued, job, turn, type Workbench } from '../../test/fakes.ts'
import { ControlLoop } from './control-loop.ts'
import type { Outcome } from './ledger-records.ts'

let bench: Workbench
let loop: ControlLoop
let wanted: string[]
let outcomes: [string, Outcome][]

function createLoop(decideElsewhere?: (control: Control) => Promise<Outcome>): ControlLoop {
  wanted = []
  outcomes = []
  return new ControlLoop({
    clock: bench.clock,
    journal: { ledger: bench.ledger, append: bench.append },
    patientJournal: bench.patientJournal,
    runtime: bench.runtime,
    ...(decideElsewhere === undefined ? {} : { decideElsewhere }),
    onOutcome: (control, outcome) => void outcomes.push([control.controlId ?? control.action, outcome]),
    onSyncWanted: (reason) => void wanted.push(reason),
    onTrouble: (_, message) => void bench.troubles.push(message),
  })
}

const push = { kind: 'push' } as const
const applied: Outcome = { state: 'applied' }
const codes = (): (string | undefined)[] =>
  outcomes.map(([, outcome]) => (outcome.state === 'failed' ? outcome.code : outcome.state))
const firstRun = () => bench.executor.runs[0]

beforeEach(async () => {
  bench = createWorkbench()
  loop = createLoop()
  await bench.append([{ type: 'task', ...job('t1') }])
  bench.runtime.add(job('t1'))
})

describe('given a pushed control', () => {
  test('when it comes again while it is journalled, applied and decided > it is applied once', async () => {
    const disk = Promise.withResolvers<void>()
    const control = issued('c1', 'slow', 1)
    const slow = Promise.withResolvers<void>()
    Object.assign(bench, { disk: disk.promise })
    bench.executor.slow = slow.promise
    loop.deliver([control, control], push)
    await turn()
    loop.deliver([control], push)
    disk.resolve()
    await turn()
    loop.deliver([control], { kind: 'sync', counter: 1 })
    slow.resolve()
    await loop.idle()
    loop.deliver([control], push)
    await loop.idle()
    expect(firstRun()?.told).toEqual(['slow'])
    expect(outcomes).toEqual([['c1', applied]])
    expect(bench.ledger.report().outcomes).toHaveLength(1)
    expect(wanted).toContain('outcome')
  })

  test('when it is older than its lane > it is not applied, and a sync says so', async () => {
    loop.deliver([issued('c2', 'pause', 2)], push)
    await loop.idle()
    loop.deliver([issued('c1', 'resume', 1)], push)
    await loop.idle()
    expect(firstRun()?.told).toEqual(['pause'])
    expect(wanted).toContain('stale')
    expect(bench.ledger.report().outcomes.at(-1)).toMatchObject({ controlId: 'c1', state: 'stale' })
  })

  test('when its task is unknown > a sync is wanted; from a sync it is refused', async () => {
    loop.deliver([issued('c1', 'pause', 1, 't9')], push)
    await loop.idle()
    expect([wanted, outcomes]).toEqual([['unknown_task'], []])
    loop.deliver([issued('c1', 'pause', 1, 't9')], { kind: 'sync', counter: 1 })
    await loop.idle()
    expect(codes()).toEqual(['task_unknown'])
    expect(bench.ledger.intendedState('t9'), 'a refused pause intends nothing').toBe('running')
  })

  test('when a verb of the same task is slow > a cancel is not held up, a second of that verb is', async () => {
    const slow = Promise.withResolvers<void>()
    bench.executor.slow = slow.promise
    loop.deliver([issued('c1', 'slow', 1), issued('c2', 'slow', 2), issued('c3', 'cancel', 3)], push)
    await turn()
    expect(firstRun()?.told).toEqual(['slow', 'cancel'])
    expect(outcomes).toEqual([['c3', applied]])
    slow.resolve()
    await loop.idle()
    expect(codes()).toEqual(['applied', 'applied', 'already_finished'])
  })

  test('when its verb fails or does not exist > the control fails with that', async () => {
    loop.deliver([issued('c1', 'bad', 1), issued('c2', 'nonsense', 2)], push)
    await loop.idle()
    expect(new Set(codes())).toEqual(new Set(['bad_args', 'unsupported']))
  })

  test('when its task ended and the hub knows > it is already finished; a cancel of a cancelled one applied', async () => {
    firstRun()?.finish({ status: 'cancelled' })
    await turn()
    bench.runtime.reporting.prepare(1_000_000)
    await bench.runtime.reporting.answered()
    expect(bench.runtime.has('t1')).toBe(false)
    loop.deliver([issued('c1', 'cancel', 1), issued('c2', 'pause', 2)], { kind: 'sync', counter: 1 })
    await loop.idle()
    expect(codes()).toEqual(['applied', 'already_finished'])
  })
})

describe('given a journal that cannot be written', () => {
  test('when a control comes > nothing is applied, and it is decided once the hub hands it out again', async () => {
    bench.diskIsFull = true
    loop.deliver([issued('c1', 'pause', 1)], push)
    await loop.idle()
    expect([firstRun()?.told, outcomes, bench.troubles.length]).toEqual([[], [], 1])
    expect(bench.ledger.report().received).toEqual([])
    bench.clock.advance(limits.JOURNAL_ASK_AGAIN_MS)
    expect(wanted, 'the hub has to be asked for it').toEqual(['undecided'])
    bench.diskIsFull = false
    loop.deliver([issued('c1', 'pause', 1)], push)
    await loop.idle()
    expect(outcomes).toEqual([['c1', applied]])
  })

  test('when the disk fills between intent and outcome > the outcome is kept as soon as it can', async () => {
    const slow = Promise.withResolvers<void>()
    bench.executor.slow = slow.promise
    loop.deliver([issued('c1', 'slow', 1)], push)
    await turn()
    bench.diskIsFull = true
    slow.resolve()
    await turn()
    bench.clock.advance(limits.JOURNAL_RETRY_MS)
    await turn()
    expect(outcomes, 'what is not on disk is not said').toEqual([])
    expect(bench.troubles, 'said once, not with every try').toHaveLength(1)
    bench.diskIsFull = false
    bench.clock.advance(limits.JOURNAL_RETRY_MS)
    await loop.idle()
    expect(outcomes).toEqual([['c1', applied]])
    expect(firstRun()?.told, 'it must not be applied again').toEqual(['slow'])
  })

  test('when a local decision cannot be kept > it is refused and not applied', async () => {
    bench.diskIsFull = true
    await expect(loop.decideLocally('t1', 'pause', 'd1')).rejects.toMatchObject({
      code: 'journal_unavailable',
    })
    expect(firstRun()?.told).toEqual([])
    bench.diskIsFull = false
    expect(await loop.decideLocally('t1', 'pause', 'd2')).toEqual(applied)
  })
})

describe('given a local decision', () => {
  test('when a control that it knew of comes late > it is stale; a newer one wins', async () => {
    loop.deliver([issued('c5', 'resume', 5)], push)
    await loop.idle()
    expect(await loop.decideLocally('t1', 'pause', 'd1')).toEqual(applied)
    loop.deliver([issued('c4', 'resume', 4)], push)
    await loop.idle()
    expect(firstRun()?.told).toEqual(['resume', 'pause'])
    expect(bench.ledger.report().outcomes.at(-1)).toMatchObject({ state: 'stale', local: true })
    loop.deliver([issued('c6', 'resume', 6)], push)
    await loop.idle()
    expect(firstRun()?.told).toEqual(['resume', 'pause', 'resume'])
  })

  test('when the server knows no revisions > an opposing control waits for a sync sent after; cancel wins', async () => {
    const resume: Control = { action: 'resume', taskId: 't1', args: null }
    const before = loop.syncStarted()
    await loop.decideLocally('t1', 'pause', 'd1')
    loop.deliver([resume], push)
    loop.syncAnswered(before)
    loop.deliver([resume], { kind: 'sync', counter: before })
    await loop.idle()
    expect(firstRun()?.told).toEqual(['pause'])
    const after = loop.syncStarted()
    loop.syncAnswered(after)
    loop.deliver([resume], { kind: 'sync', counter: after })
    await loop.idle()
    expect(firstRun()?.told).toEqual(['pause', 'resume'])
    await loop.decideLocally('t1', 'pause', 'd2')
    loop.deliver([{ action: 'cancel', taskId: 't1', args: null }], push)
    await loop.idle()
    expect(firstRun()?.told.at(-1)).toBe('cancel')
  })

  test('when the task refuses it > nothing stays behind', async () => {
    expect(await loop.decideLocally('t9', 'pause', 'd1')).toMatchObject({ code: 'task_unknown' })
    const run = firstRun()
    if (run !== undefined) run.pausing = Promise.reject(new Error('It hangs in the kernel.'))
    expect(await loop.decideLocally('t1', 'pause', 'd2')).toMatchObject({ code: 'verb_failed' })
    expect(bench.ledger.intendedState('t1'), 'a restart would pause it').toBe('running')
    expect(bench.ledger.report().decisions.map((item) => item.decisionId)).toEqual(['d2'])
  })
})

describe('given a server of the original wire', () => {
  test('when it hands out a cancel in every sync > no sync is wanted by that alone', async () => {
    bench.executor.obeys = false
    const cancel: Control = { action: 'cancel', taskId: 't1', args: null }
    loop.deliver([cancel], { kind: 'sync', counter: 1 })
    await loop.idle()
    wanted.length = 0
    const changes = bench.changes
    loop.deliver([cancel], { kind: 'sync', counter: 2 })
    await loop.idle()
    expect(firstRun()?.told).toEqual(['cancel', 'cancel'])
    expect([wanted, bench.changes], 'that would be a storm of syncs').toEqual([[], changes])
    expect(bench.ledger.report().outcomes, 'there is no id to report').toEqual([])
  })
})

describe('given tasks that the application has by itself', () => {
  test('when its answer is an error > the control fails with it, and is decided', async () => {
    loop = createLoop(() => Promise.reject(new Error('The table is locked.')))
    loop.deliver([issued('c1', 'pause', 1, 'theirs')], { kind: 'sync', counter: 1 })
    await loop.idle()
    expect(outcomes).toEqual([
      ['c1', { state: 'failed', code: 'verb_failed', message: 'The table is locked.' }],
    ])
    expect(bench.ledger.report().received).toEqual([])
  })

  test('when the agent also runs tasks > a push of an unknown task asks the hub first, whose task it is', async () => {
    const asked: string[] = []
    loop = createLoop(async ({ taskId }) => {
      asked.push(taskId)
      return applied
    })
    loop.deliver([issued('c1', 'pause', 1, 't2')], push)
    await loop.idle()
    expect([asked, wanted]).toEqual([[], ['unknown_task']])
    loop.deliver([issued('c1', 'pause', 1, 't2'), issued('c2', 'unheard', 2)], { kind: 'sync', counter: 1 })
    await loop.idle()
    expect(asked.toSorted(), 'also verbs that its kind does not have').toEqual(['t1', 't2'])
  })
})

describe('given a process that stood still', () => {
  test('when pushes of before come > they wait for a sync that began later', async () => {
    loop.streamOpened()
    loop.frame(15_000)
    bench.clock.setWallMs(bench.clock.wallMs() + 3_600_000)
    loop.frame(15_000)
    loop.deliver([issued('c1', 'pause', 1)], push)
    await loop.idle()
    expect([firstRun()?.told, wanted]).toEqual([[], ['standstill']])
    loop.syncAnswered(loop.syncStarted())
    loop.deliver([issued('c1', 'pause', 1)], push)
    await loop.idle()
    expect(firstRun()?.told).toEqual(['pause'])
  })

  test('when a push waited in its lane meanwhile > it is asked for again', async () => {
    const pausing = Promise.withResolvers<void>()
    const run = firstRun()
    if (run !== undefined) run.pausing = pausing.promise
    loop.frame(1_000)
    loop.deliver([issued('c1', 'pause', 1), issued('c2', 'resume', 2)], push)
    await turn()
    bench.clock.advance(60_000)
    pausing.resolve()
    await loop.idle()
    expect(run?.told).toEqual(['pause'])
    expect(wanted).toContain('standstill')
  })
})

describe('given a stop', () => {
  test('when controls wait behind a verb that never returns > idle does not resolve, and they are not begun', async () => {
    const slow = Promise.withResolvers<void>()
    bench.executor.slow = slow.promise
    loop.deliver([issued('c1', 'slow', 1), issued('c2', 'slow', 2)], push)
    await turn()
    loop.stop()
    loop.deliver([issued('c3', 'pause', 3)], push)
    slow.resolve()
    await loop.idle()
    expect(firstRun()?.told).toEqual(['slow'])
    expect(bench.ledger.report().received, 'the next start is handed c2 and c3').toEqual([])
  })
})

describe('given what a crash interrupted', () => {
  test('when the agent starts > a state is established again, an atMostOnce verb has failed', async () => {
    await bench.append([
      { type: 'intent', control: issued('c1', 'pause', 1), delivery: 'atLeastOnce' },
      { type: 'intent', control: issued('c2', 'poke', 2), delivery: 'atMostOnce' },
      { type: 'intent', control: issued('c3', 'poke', 3, 'gone'), delivery: 'atLeastOnce' },
    ])
    bench.diskIsFull = true
    loop.recover()
    await turn()
    expect(firstRun()?.told).toEqual(['pause'])
    bench.diskIsFull = false
    bench.clock.advance(limits.JOURNAL_RETRY_MS)
    await loop.idle()
    await turn()
    const reported = new Map(bench.ledger.report().outcomes.map((item) => [item.controlId, item]))
    expect(reported.get('c1')).toMatchObject({ state: 'applied' })
    expect(reported.get('c2')).toMatchObject({ state: 'failed', code: 'interrupted' })
    expect(reported.get('c3'), 'it may have been applied before').toMatchObject({ code: 'interrupted' })
  })

  test('when an idempotent verb fails the second time > it is interrupted, as the first time may have worked', async () => {
    await bench.append([{ type: 'intent', control: issued('c1', 'bad', 1), delivery: 'atLeastOnce' }])
    loop.recover()
    await loop.idle()
    expect(outcomes).toEqual([
      [
        'c1',
        {
          state: 'failed',
          code: 'interrupted',
          message: expect.stringContaining('It does not fit.') as unknown,
        },
      ],
    ])
  })

  test('when a decision on an own task was not told to the application > it is, unless something newer holds', async () => {
    const told: string[] = []
    loop = createLoop(async ({ action, taskId }) => {
      told.push(`${action} ${taskId}`)
      return applied
    })
    const basedOn = { epoch: 1, revision: 1 }
    await bench.append([
      { type: 'decision', decisionId: 'd1', taskId: 'own-1', action: 'pause', basedOn },
      { type: 'decision', decisionId: 'd2', taskId: 'own-2', action: 'pause', basedOn },
      { type: 'intent', control: issued('c1', 'resume', 2, 'own-2'), delivery: 'atLeastOnce' },
      { type: 'outcome', controlId: 'c1', outcome: applied },
      { type: 'decision', decisionId: 'd3', taskId: 't1', action: 'pause', basedOn },
    ])
    loop.recover()
    await loop.idle()
    expect(told, 'the runtime starts its own tasks as they are meant to be').toEqual(['pause own-1'])
  })
})
