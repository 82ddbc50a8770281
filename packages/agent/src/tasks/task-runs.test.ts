/** What the runtime does with runs that take too long, do not end, or were cut short by the agent's own end. */
import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createWorkbench, job, turn, type Workbench } from '../../test/fakes.ts'
import { createHandlerExecutor } from './handler-executor.ts'
import { CancelledError, TimedOutError } from './task.ts'

const BYTES_MAX = 800_000
const LIMIT_MS = 10_000

function started(options: Parameters<typeof createWorkbench>[0] = {}): Workbench {
  const bench = createWorkbench(options)
  bench.ledger.record({ type: 'task', ...job('t1') })
  bench.runtime.add(job('t1'))
  return bench
}

const report = ({ runtime }: Workbench) => runtime.reporting.prepare(BYTES_MAX)[0]

describe('given a task with a time limit', () => {
  const kind = { timeLimitMs: LIMIT_MS }

  test('when the time is over > it is told to end and has failed as timed_out', async () => {
    const bench = started({ kind })
    bench.clock.advance(LIMIT_MS - 1)
    expect(bench.executor.runs[0]?.told).toEqual([])
    bench.clock.advance(1)
    await turn()
    expect(bench.executor.runs[0]?.told).toEqual(['cancel'])
    expect(bench.executor.runs[0]?.reason).toBeInstanceOf(TimedOutError)
    expect(report(bench)).toMatchObject({
      status: 'failed',
      errorCode: 'timed_out',
      errorMessage: expect.stringContaining(`${LIMIT_MS} ms`) as unknown,
    })
    expect(bench.clock.pendingTimers).toBe(0)
  })

  test('when it is paused meanwhile > that time does not count', async () => {
    const bench = started({ kind })
    bench.clock.advance(LIMIT_MS - 1)
    await bench.runtime.apply('t1', 'pause', null)
    bench.clock.advance(10 * LIMIT_MS)
    await bench.runtime.apply('t1', 'resume', null)
    await turn()
    expect(bench.executor.runs[0]?.told).toEqual(['pause', 'resume'])
    bench.clock.advance(1)
    expect(bench.executor.runs[0]?.told.at(-1)).toBe('cancel')
  })

  test('when it completes all the same > it is completed', async () => {
    const bench = started({ kind })
    bench.executor.obeys = false
    bench.clock.advance(LIMIT_MS)
    expect(await bench.runtime.apply('t1', 'resume', null), 'too late').toMatchObject({
      code: 'task_cancelling',
    })
    bench.executor.runs[0]?.finish({ status: 'completed', result: 1 })
    await turn()
    expect(report(bench)).toMatchObject({ status: 'completed', result: 1 })
  })

  test('when it was cancelled before > it is cancelled, whenever it ends', async () => {
    const bench = started({ kind })
    bench.executor.obeys = false
    await bench.runtime.apply('t1', 'cancel', null)
    bench.clock.advance(LIMIT_MS)
    expect(bench.executor.runs[0]?.told).toEqual(['cancel'])
    bench.executor.runs[0]?.finish({ status: 'cancelled' })
    await turn()
    expect(report(bench)).toMatchObject({ status: 'cancelled' })
  })

  test.each([0, -1, Number.NaN, 2 ** 31])('when it is %s > the definition is refused', (timeLimitMs) => {
    expect(() => createHandlerExecutor({ timeLimitMs, run: () => undefined })).toThrow(/timeLimitMs must be/)
  })
})

describe('given a task that ignores that it was told to end', () => {
  test.each(['cancel', 'time limit'])(
    'when UNRESPONSIVE_MS are over after a %s > it is shown as running and unresponsive, until it ends',
    async (why) => {
      const bench = started({ kind: { timeLimitMs: LIMIT_MS } })
      bench.executor.obeys = false
      if (why === 'cancel') await bench.runtime.apply('t1', 'cancel', null)
      else bench.clock.advance(LIMIT_MS)
      await turn()
      const changes = bench.changes
      bench.clock.advance(limits.UNRESPONSIVE_MS - 1)
      expect(report(bench), 'it may still end by itself').not.toHaveProperty('unresponsive')
      bench.clock.advance(1)
      expect(report(bench)).toMatchObject({ status: 'running', unresponsive: true })
      expect(bench.changes, 'a sync must tell it at once').toBe(changes + 1)
      expect(bench.troubles[0]).toContain('t1')
      bench.executor.runs[0]?.finish({ status: 'cancelled' })
      await turn()
      expect(report(bench)).not.toHaveProperty('unresponsive')
    },
  )

  test('when it is cancelled again > it has no more time than before', async () => {
    const bench = started()
    bench.executor.obeys = false
    await bench.runtime.apply('t1', 'cancel', null)
    bench.clock.advance(limits.UNRESPONSIVE_MS - 1)
    await bench.runtime.apply('t1', 'cancel', null)
    bench.clock.advance(1)
    expect(report(bench)).toMatchObject({ unresponsive: true })
  })
})

describe('given tasks that are not to be started again', () => {
  const kind = { onRestart: 'fail' } as const

  test('when one had begun > it fails as interrupted; one that had not starts, a cancelled one is cancelled', async () => {
    const bench = createWorkbench({ kind })
    const facts = { begun: true }
    bench.ledger.record({
      type: 'decision',
      decisionId: 'd1',
      taskId: 't3',
      action: 'cancel',
      basedOn: { epoch: 0, revision: 0 },
    })
    bench.runtime.restore([{ ...job('t1'), facts }, job('t2'), { ...job('t3'), facts }])
    await turn()
    expect(bench.runtime.reporting.prepare(BYTES_MAX)).toMatchObject([
      { taskId: 't1', status: 'failed', errorCode: 'interrupted' },
      { taskId: 't2', status: 'running' },
      { taskId: 't3', status: 'cancelled' },
    ])
    expect(bench.executor.reaped, 'whatever runs of them is ended').toEqual([facts, facts])
  })

  test('when a handler begins > that is on disk before its code runs, and a cancel does not wait for the disk', async () => {
    const kept = Promise.withResolvers<void>()
    const ran: string[] = []
    const executor = createHandlerExecutor({ onRestart: 'fail', run: () => void ran.push('ran') })
    const start = (keepFacts: () => Promise<void>) =>
      executor.start({
        ...job('t1'),
        paused: false,
        reporter: { progress: () => undefined, log: () => undefined, keepFacts },
      })
    const run = start(() => kept.promise)
    await turn()
    expect(ran).toEqual([])
    await run.cancel()
    expect(await run.ended).toEqual({ status: 'cancelled' })
    expect(ran).toEqual([])
    await start(() => Promise.resolve()).ended
    expect(ran).toEqual(['ran'])
  })
})

describe('given a disk that is full when a task starts', () => {
  test('when it has to keep facts > it waits for the disk, and a stop ends the waiting', async () => {
    const bench = started()
    const start = bench.executor.runs[0]?.start
    bench.diskIsFull = true
    let state = 'waiting'
    start?.reporter.keepFacts({ pid: 1 }).then(
      () => (state = 'kept'),
      () => (state = 'refused'),
    )
    await turn()
    bench.clock.advance(limits.JOURNAL_RETRY_MS)
    await turn()
    expect(state).toBe('waiting')
    bench.diskIsFull = false
    bench.clock.advance(limits.JOURNAL_RETRY_MS)
    await turn()
    expect(state).toBe('kept')
    bench.diskIsFull = true
    const late = start?.reporter.keepFacts({ pid: 2 })
    await turn()
    bench.patientJournal.stop()
    await expect(late).rejects.toMatchObject({ code: 'journal_unavailable' })
  })
})

describe('given the errors that abort a handler', () => {
  test('when it asks for a cancel > a time limit is one, too', () => {
    expect(new TimedOutError()).toBeInstanceOf(CancelledError)
    expect(new TimedOutError().name).toBe('TimedOutError')
  })
})
