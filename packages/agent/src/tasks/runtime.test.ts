/** The task runtime over runs in the test's hands. */
import { limits, type TaskReport } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createWorkbench, issued, job, turn, type Workbench } from '../../test/fakes.ts'
import { CancelledError, ShutdownError } from './task.ts'

const BYTES_MAX = 800_000

function statuses({ runtime }: Workbench): Record<string, string> {
  return Object.fromEntries(
    runtime.reporting.prepare(BYTES_MAX).map(({ taskId, status }) => [taskId, status]),
  )
}

function add(bench: Workbench, ...taskIds: string[]): void {
  for (const taskId of taskIds) {
    bench.ledger.record({ type: 'task', ...job(taskId) })
    bench.runtime.add(job(taskId))
  }
}

async function reported(bench: Workbench): Promise<readonly TaskReport[]> {
  const reports = bench.runtime.reporting.prepare(BYTES_MAX)
  await bench.runtime.reporting.answered()
  return reports
}

describe('given more tasks than slots', () => {
  test('when one ends > the next one starts, in the order in which they came', async () => {
    const bench = createWorkbench({ concurrency: 1 })
    add(bench, 't1', 't2', 't3')
    expect(statuses(bench)).toEqual({ t1: 'running', t2: 'queued', t3: 'queued' })
    expect(bench.runtime.freeSlots).toBe(0)
    bench.executor.runs[0]?.finish({ status: 'completed' })
    await turn()
    expect(statuses(bench)).toEqual({ t1: 'completed', t2: 'running', t3: 'queued' })
  })

  test('when a waiting one is paused > it does not start and holds no slot, until it is resumed', async () => {
    const bench = createWorkbench({ concurrency: 1 })
    add(bench, 't1', 't2')
    expect(await bench.runtime.apply('t2', 'pause', null)).toEqual({ state: 'applied' })
    bench.executor.runs[0]?.finish({ status: 'completed' })
    await turn()
    expect(statuses(bench)['t2']).toBe('paused')
    expect([bench.executor.runs.length, bench.runtime.freeSlots]).toEqual([1, 1])
    await bench.runtime.apply('t2', 'resume', null)
    expect(statuses(bench)['t2']).toBe('running')
    expect(bench.executor.runs[1]?.start).toMatchObject({ taskId: 't2', paused: false })
  })

  test('when a waiting one is cancelled or told a verb > it never starts, the verb fails', async () => {
    const bench = createWorkbench({ concurrency: 1 })
    add(bench, 't1', 't2')
    expect(await bench.runtime.apply('t2', 'poke', null)).toMatchObject({ code: 'task_not_running' })
    expect(await bench.runtime.apply('t2', 'cancel', null)).toEqual({ state: 'applied' })
    await turn()
    expect(statuses(bench)['t2']).toBe('cancelled')
    expect(bench.executor.runs).toHaveLength(1)
  })

  test('when many are of no kind of this agent > each fails, and no more run than there are slots', async () => {
    const bench = createWorkbench({ concurrency: 2 })
    for (const taskId of ['u1', 'u2', 'u3']) bench.runtime.add({ ...job(taskId), kind: 'rm -rf' })
    add(bench, 't1', 't2', 't3')
    await turn()
    expect(bench.executor.runs).toHaveLength(2)
    const [failed] = bench.runtime.reporting.prepare(BYTES_MAX)
    expect(failed).toMatchObject({
      taskId: 'u1',
      status: 'failed',
      errorMessage: expect.stringMatching(/names: job/) as unknown,
    })
  })
})

describe('given a running task', () => {
  test('when it is paused, resumed and cancelled, twice each > it is told, and shown as it is', async () => {
    const bench = createWorkbench()
    bench.executor.obeys = false
    add(bench, 't1')
    for (const [action, status] of [
      ['pause', 'paused'],
      ['resume', 'running'],
      ['pause', 'paused'],
      ['cancel', 'running'],
    ] as const) {
      for (const _ of [1, 2]) {
        expect(await bench.runtime.apply('t1', action, null)).toEqual({ state: 'applied' })
        expect(statuses(bench)['t1']).toBe(status)
      }
    }
    for (const action of ['pause', 'resume']) {
      expect(await bench.runtime.apply('t1', action, null), 'a cancel is final').toMatchObject({
        code: 'task_cancelling',
      })
    }
    bench.executor.runs[0]?.finish({ status: 'cancelled' })
    await turn()
    expect(statuses(bench)['t1']).toBe('cancelled')
  })

  test('when it ends while it is being paused > its end is what it is shown as', async () => {
    const bench = createWorkbench()
    const pausing = Promise.withResolvers<void>()
    add(bench, 't1')
    const [run] = bench.executor.runs
    if (run !== undefined) run.pausing = pausing.promise
    const outcome = bench.runtime.apply('t1', 'pause', null)
    run?.finish({ status: 'completed', result: 7 })
    await turn()
    pausing.resolve()
    expect(await outcome).toMatchObject({ code: 'already_finished' })
    expect((await reported(bench))[0]).toMatchObject({ status: 'completed', progress: 1, result: 7 })
    expect(bench.runtime.has('t1'), 'it must not be held for ever').toBe(false)
  })

  test('when a pause fails > the task goes on as before', async () => {
    const bench = createWorkbench({ concurrency: 1 })
    add(bench, 't1', 't2')
    const [run] = bench.executor.runs
    if (run !== undefined) run.pausing = Promise.reject(new Error('It hangs.'))
    expect(await bench.runtime.apply('t1', 'pause', null)).toMatchObject({ message: 'It hangs.' })
    expect(statuses(bench)['t1']).toBe('running')
  })

  test('when its end cannot be journalled yet > it is reported as running until it can', async () => {
    const bench = createWorkbench()
    add(bench, 't1')
    bench.diskIsFull = true
    bench.executor.runs[0]?.finish({ status: 'failed', code: 'x', message: 'It broke.' })
    await turn()
    expect(statuses(bench)).toEqual({ t1: 'running' })
    bench.diskIsFull = false
    bench.clock.advance(limits.JOURNAL_RETRY_MS)
    await turn()
    const [report] = await reported(bench)
    expect(report).toMatchObject({ status: 'failed', errorMessage: 'It broke.' })
    expect(bench.records.map((record) => record.type)).toEqual(['end', 'drop'])
    expect(bench.clock.pendingTimers).toBe(0)
  })

  test('when letting go of it cannot be journalled > it is held and reported again', async () => {
    const bench = createWorkbench()
    add(bench, 't1')
    bench.executor.runs[0]?.finish({ status: 'completed' })
    await turn()
    bench.runtime.reporting.prepare(BYTES_MAX)
    bench.diskIsFull = true
    await expect(bench.runtime.reporting.answered()).rejects.toThrow(/full/)
    bench.diskIsFull = false
    expect(await reported(bench)).toHaveLength(1)
    expect(bench.runtime.has('t1')).toBe(false)
  })

  test('when it reports nonsense as progress > it stays between 0 and 1', () => {
    const bench = createWorkbench()
    add(bench, 't1')
    const reporter = bench.executor.runs[0]?.start.reporter
    for (const [said, shown] of [
      [-1, 0],
      [Number.NaN, 0],
      [7, 1],
    ] as const) {
      reporter?.progress(said, 'm'.repeat(5_000))
      const [report] = bench.runtime.reporting.prepare(BYTES_MAX)
      expect([report?.progress, report?.message?.length]).toEqual([shown, limits.MESSAGE_CHARS_MAX])
    }
  })
})

describe('given tasks of an earlier life', () => {
  const held = (taskId: string, more: object = {}) => ({ ...job(taskId), ...more })

  test('when they are restored > what still runs is ended before its task starts, others start at once', async () => {
    const bench = createWorkbench()
    const reaping = Promise.withResolvers<void>()
    bench.executor.reaping = reaping.promise
    bench.runtime.restore([held('t1', { facts: { pid: 4 } }), held('t2')])
    expect(bench.executor.reaped).toEqual([{ pid: 4 }])
    expect(statuses(bench)).toEqual({ t1: 'queued', t2: 'running' })
    reaping.resolve()
    await turn()
    expect(statuses(bench)).toEqual({ t1: 'running', t2: 'running' })
  })

  test('when one was to be cancelled > it never starts, and is over only when nothing of it runs', async () => {
    const bench = createWorkbench()
    const reaping = Promise.withResolvers<void>()
    bench.executor.reaping = reaping.promise
    for (const taskId of ['t1', 't2']) {
      bench.ledger.record({
        type: 'intent',
        control: issued(`c-${taskId}`, 'cancel', 1, taskId),
        delivery: 'atLeastOnce',
      })
    }
    bench.runtime.restore([held('t1', { facts: 1 }), held('t2')])
    await turn()
    expect(statuses(bench)).toEqual({ t1: 'queued', t2: 'cancelled' })
    expect(await bench.runtime.apply('t1', 'cancel', null)).toEqual({ state: 'applied' })
    expect(statuses(bench)['t1'], 'its processes may still run').toBe('queued')
    reaping.resolve()
    await turn()
    expect(statuses(bench)).toEqual({ t1: 'cancelled', t2: 'cancelled' })
    expect(bench.executor.runs).toEqual([])
  })

  test('when one was paused > it starts when it is resumed, or is cancelled without ever starting', async () => {
    const bench = createWorkbench()
    for (const taskId of ['t1', 't2']) {
      bench.ledger.record({
        type: 'decision',
        decisionId: taskId,
        taskId,
        action: 'pause',
        basedOn: revision,
      })
    }
    bench.runtime.restore([held('t1'), held('t2')])
    expect(statuses(bench)).toEqual({ t1: 'paused', t2: 'paused' })
    await bench.runtime.apply('t1', 'resume', null)
    await bench.runtime.apply('t2', 'cancel', null)
    await turn()
    expect(statuses(bench)).toEqual({ t1: 'running', t2: 'cancelled' })
    expect(bench.executor.runs).toHaveLength(1)
  })

  test('when what one left running cannot be ended > it fails, and a second copy does not start', async () => {
    const bench = createWorkbench()
    bench.executor.reaping = Promise.reject(new Error('no /proc'))
    bench.runtime.restore([held('t1', { facts: 1 })])
    await turn()
    expect(statuses(bench)).toEqual({ t1: 'failed' })
    expect(bench.executor.runs).toEqual([])
    expect(bench.troubles).toHaveLength(1)
  })

  test('when the kind of one has left the configuration > what it left running is ended all the same', async () => {
    const bench = createWorkbench()
    bench.runtime.restore([{ ...held('t1', { facts: 9 }), kind: 'gone' }])
    await turn()
    expect(bench.executor.reaped).toEqual([9])
    expect(statuses(bench)).toEqual({ t1: 'failed' })
  })

  test('when one had ended > its end is reported, nothing starts', () => {
    const bench = createWorkbench()
    bench.runtime.restore([held('t1', { end: { status: 'failed', message: 'It broke.' } })])
    expect(bench.runtime.reporting.prepare(BYTES_MAX)[0]).toMatchObject({
      status: 'failed',
      errorMessage: 'It broke.',
    })
    expect(bench.executor.runs).toEqual([])
  })

  const revision = { epoch: 1, revision: 1 }
})

describe('given a task that comes with a control', () => {
  test('when it is held back > it starts once that was applied, or with the next sync', async () => {
    const bench = createWorkbench()
    for (const taskId of ['t1', 't2', 't3']) bench.runtime.add(job(taskId), true)
    expect(bench.executor.runs).toEqual([])
    await bench.runtime.apply('t1', 'cancel', null)
    await bench.runtime.apply('t2', 'pause', null)
    bench.runtime.release()
    await turn()
    expect(statuses(bench)).toEqual({ t1: 'cancelled', t2: 'paused', t3: 'running' })
  })
})

describe('given a tracked task', () => {
  test('when it was tracked before the agent ran > it learns what is meant of it, unless it has ended', async () => {
    const bench = createWorkbench()
    const [running, ended, cancelled] = ['t1', 't2', 't3'].map((id) => bench.runtime.track(id, 'own'))
    ended?.complete()
    await turn()
    for (const [taskId, action] of [
      ['t1', 'pause'],
      ['t2', 'pause'],
      ['t3', 'cancel'],
    ] as const) {
      bench.ledger.record({
        type: 'intent',
        control: issued(taskId, action, 1, taskId),
        delivery: 'atLeastOnce',
      })
    }
    bench.runtime.restore([])
    expect(running?.paused).toBe(true)
    expect(cancelled?.signal.reason).toBeInstanceOf(CancelledError)
    expect(statuses(bench)).toMatchObject({ t1: 'paused', t2: 'completed' })
  })

  test('when its id is tracked again > refused while it lives; afterwards it is another task', async () => {
    const bench = createWorkbench()
    const first = bench.runtime.track('t1', 'own')
    expect(() => bench.runtime.track('t1', 'own')).toThrow(
      expect.objectContaining({ code: 'task_exists' }) as Error,
    )
    expect(() => bench.runtime.track('two words', 'own')).toThrow(TypeError)
    first.log('one')
    first.complete()
    await turn()
    const inFlight = bench.runtime.reporting.prepare(BYTES_MAX)
    bench.runtime.track('t1', 'own').log('another')
    await bench.runtime.reporting.answered()
    expect(inFlight[0]?.status).toBe('completed')
    expect(bench.runtime.has('t1'), 'the answer was about the first').toBe(true)
    expect(
      bench.records.map((record) => record.type),
      'a drop would forget what is meant of the second',
    ).toEqual(['end'])
    expect((await reported(bench))[0]).toMatchObject({
      status: 'running',
      log: { nextLine: 1, lines: ['another'] },
    })
  })

  test('when it is told a verb or completes with what is no result > both fail with a reason', async () => {
    const bench = createWorkbench()
    const [large, cyclic] = ['t1', 't2'].map((id) => bench.runtime.track(id, 'own'))
    expect(await bench.runtime.apply('t1', 'poke', null)).toMatchObject({ code: 'unsupported' })
    large?.complete('x'.repeat(limits.TASK_RESULT_BYTES_MAX))
    const loop: Record<string, unknown> = {}
    loop['loop'] = loop
    cyclic?.complete(loop as never)
    await turn()
    const [first, second] = bench.runtime.reporting.prepare(BYTES_MAX)
    expect(first).toMatchObject({
      status: 'failed',
      errorMessage: expect.stringMatching(/at most 16384 are kept/) as unknown,
    })
    expect(second).toMatchObject({
      status: 'failed',
      errorMessage: expect.stringMatching(/circular/) as unknown,
    })
  })

  test('when it is left without an end > completed; after a cancel cancelled, unless it completed anyway', async () => {
    const bench = createWorkbench()
    const [left, leftCancelled, failedAfter, completedAfter] = ['t1', 't2', 't3', 't4'].map((id) =>
      bench.runtime.track(id, 'own'),
    )
    for (const taskId of ['t2', 't3', 't4']) await bench.runtime.apply(taskId, 'cancel', null)
    await left?.[Symbol.asyncDispose]()
    await leftCancelled?.[Symbol.asyncDispose]()
    failedAfter?.fail(new Error('aborted'))
    completedAfter?.complete('done')
    await turn()
    expect(statuses(bench)).toEqual({ t1: 'completed', t2: 'cancelled', t3: 'cancelled', t4: 'completed' })
  })

  test('when the journal holds a task of its id > the tracked one is not replaced', () => {
    const bench = createWorkbench()
    const tracked = bench.runtime.track('t1', 'own')
    bench.runtime.restore([{ ...job('t1'), end: { status: 'completed' } }])
    expect(statuses(bench)).toEqual({ t1: 'running' })
    expect(bench.executor.runs).toEqual([])
    expect(tracked.signal.aborted).toBe(false)
  })
})

describe('given a stop', () => {
  test('when tasks run, wait and are tracked > all are unfinished, and ends on the way are kept', async () => {
    const bench = createWorkbench({ concurrency: 1 })
    add(bench, 't1', 't2')
    const tracked = bench.runtime.track('t3', 'own')
    bench.runtime.track('t4', 'own').complete()
    await bench.runtime.stop()
    expect(tracked.signal.reason).toBeInstanceOf(ShutdownError)
    expect(statuses(bench)).toEqual({ t1: 'queued', t2: 'queued', t3: 'queued', t4: 'completed' })
    expect(
      bench.records.map((record) => record.type),
      'only the end is kept',
    ).toEqual(['end'])
    expect([bench.runtime.freeSlots, bench.runtime.room, bench.clock.pendingTimers]).toEqual([0, 0, 0])
  })

  test('when a handler ignores it > the stop gives up after STOP_MS_MAX and says so', async () => {
    const bench = createWorkbench()
    bench.executor.obeys = false
    add(bench, 't1')
    let isStopped = false
    const stopping = bench.runtime.stop().then(() => (isStopped = true))
    bench.clock.advance(limits.STOP_MS_MAX - 1)
    await turn()
    expect(isStopped).toBe(false)
    bench.clock.advance(1)
    await stopping
    expect(bench.troubles).toEqual([expect.stringContaining('t1')])
    bench.patientJournal.stop()
    bench.diskIsFull = true
    bench.executor.runs[0]?.finish({ status: 'completed' })
    await turn()
    expect(bench.clock.pendingTimers, 'a late end must not keep the process up').toBe(0)
  })
})
