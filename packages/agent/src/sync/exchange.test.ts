/** What a sync carries, and the order in which its reply is taken in. */
import { limits, type PathReport, type SyncReply } from '@downlink/protocol'
import { beforeEach, describe, expect, test } from 'vitest'
import { createWorkbench, issued, job, turn, type Workbench } from '../../test/fakes.ts'
import { ControlLoop } from '../controls/control-loop.ts'
import { SyncExchange } from './exchange.ts'

const REPLY: SyncReply = { controls: [], newTasks: [], watching: false, acked: [] }

let bench: Workbench
let controls: ControlLoop
let exchange: SyncExchange
let wanted: string[]

let path: PathReport
let blockedBy: string | undefined
beforeEach(() => {
  blockedBy = undefined
  path = { verdict: 'unknown' }
  bench = createWorkbench()
  wanted = []
  const journal = { ledger: bench.ledger, append: bench.append }
  const onSyncWanted = (reason: string): void => void wanted.push(reason)
  controls = new ControlLoop({
    clock: bench.clock,
    journal,
    patientJournal: bench.patientJournal,
    runtime: bench.runtime,
    onOutcome: () => undefined,
    onSyncWanted,
    onTrouble: () => undefined,
  })
  exchange = new SyncExchange({
    agentId: 'a1',
    about: { name: 'box' },
    clock: bench.clock,
    journal,
    runtime: bench.runtime,
    controls,
    lastHeartbeat: () => ({ counter: 3, hubMs: 9, receivedMs: bench.clock.monotonicMs() - 40 }),
    path: () => path,
    blockedBy: () => blockedBy,
    onSyncWanted,
    onUpgrade: () => undefined,
    onKeyOutdated: () => undefined,
  })
})

async function sync(reply: Partial<SyncReply>): Promise<void> {
  exchange.prepare()
  await exchange.takeIn({ ...REPLY, ...reply })
  await controls.idle()
  await turn()
}

const newTask = (id: string) => ({ id, kind: 'job', input: null })

describe('given a reply', () => {
  test('when it brings tasks > they are journalled in one go and then started', async () => {
    await sync({ newTasks: [newTask('t1'), newTask('t2'), newTask('t1')] })
    expect(bench.records.map((record) => record.type)).toEqual(['task', 'task'])
    expect(bench.executor.runs.map((run) => run.start.taskId)).toEqual(['t1', 't2'])
    await sync({ newTasks: [newTask('t1')] })
    expect(bench.executor.runs, 'one that is held is not started again').toHaveLength(2)
  })

  test('when it brings a task and its cancel or pause > the task never starts before', async () => {
    await sync({
      newTasks: [newTask('t1'), newTask('t2')],
      controls: [issued('c1', 'cancel', 1, 't1'), issued('c2', 'pause', 2, 't2')],
    })
    expect(bench.executor.runs).toEqual([])
    const { tasks, outcomes } = exchange.prepare()
    expect(tasks.map((task) => task.status)).toEqual(['cancelled', 'paused'])
    expect(outcomes.map((outcome) => outcome.state)).toEqual(['applied', 'applied'])
  })

  test('when such a control comes to nothing > the task starts with the next reply', async () => {
    await bench.append([{ type: 'intent', control: issued('c0', 'pause', 9, 't1'), delivery: 'atLeastOnce' }])
    await bench.append([
      { type: 'intent', control: issued('c9', 'resume', 10, 't1'), delivery: 'atLeastOnce' },
    ])
    await sync({ newTasks: [newTask('t1')], controls: [issued('c1', 'pause', 1, 't1')] })
    expect(bench.executor.runs, 'the pause is stale').toEqual([])
    await sync({})
    expect(bench.executor.runs).toHaveLength(1)
  })

  test('when the journal cannot take it > nothing of it is begun, and it comes again', async () => {
    bench.diskIsFull = true
    await expect(sync({ newTasks: [newTask('t1')] })).rejects.toMatchObject({ code: 'journal_unavailable' })
    expect([bench.runtime.has('t1'), bench.executor.runs]).toEqual([false, []])
    bench.diskIsFull = false
    await sync({ newTasks: [newTask('t1')] })
    expect(bench.executor.runs).toHaveLength(1)
  })

  test('when the hub was away since > an outcome says how long ago it was decided', async () => {
    await sync({ newTasks: [newTask('t1')] })
    await sync({ controls: [issued('c1', 'pause', 1)] })
    bench.clock.advance(600_000)
    expect(exchange.prepare().outcomes).toMatchObject([{ controlId: 'c1', agoMs: 600_000 }])
  })

  test('when it acknowledges an outcome > only that is forgotten', async () => {
    await sync({ newTasks: [newTask('t1')] })
    await sync({ controls: [issued('c1', 'pause', 1), issued('c2', 'poke', 2)] })
    await sync({ acked: ['c1'] })
    expect(exchange.prepare().outcomes.map((outcome) => outcome.controlId)).toEqual(['c2'])
  })

  test('when the agent stops > it acknowledges and begins nothing', async () => {
    await sync({ newTasks: [newTask('t1')], controls: [issued('c1', 'poke', 1)] })
    exchange.stop()
    await sync({ acked: ['c1'], newTasks: [newTask('t2')], controls: [issued('c2', 'poke', 2)] })
    expect(bench.executor.runs.map((run) => run.told)).toEqual([['poke']])
    expect(exchange.prepare()).toMatchObject({ outcomes: [], received: [] })
  })
})

describe('given a request', () => {
  test('when it is prepared > it says who, what and when', () => {
    expect(exchange.prepare()).toMatchObject({
      agentId: 'a1',
      name: 'box',
      freeSlots: 2,
      journalId: bench.ledger.journalId,
      heartbeat: { counter: 3, hubMs: 9, agoMs: 40 },
    })
  })

  test('when replies have told the hub’s clock > it says how late the heartbeat came (R-51)', async () => {
    expect(exchange.prepare().heartbeat).not.toHaveProperty('lagMs')
    await sync({ hubMs: 9 })
    const { heartbeat } = exchange.prepare()
    expect(heartbeat, 'clocks that are apart must not say that it came early').toMatchObject({ lagMs: 0 })
    await sync({ hubMs: 9 + 40 + 25 })
    expect(exchange.prepare().heartbeat).toMatchObject({ agoMs: 40, lagMs: 25 })
  })

  test('when something keeps the agent from its work (R-33) > it says so as long as that lasts', () => {
    blockedBy = 'journal_unavailable'
    expect(exchange.prepare()).toMatchObject({ blockedBy })
    blockedBy = undefined
    expect(exchange.prepare()).not.toHaveProperty('blockedBy')
  })

  test('when something is known of the path > it says so', () => {
    expect(exchange.prepare()).not.toHaveProperty('path')
    path = { verdict: 'cut-idle', idleMs: 12_000 }
    expect(exchange.prepare()).toMatchObject({ path })
  })

  test('when replies tell the hub’s clock > the least that it can be ahead is known, until it is set back', async () => {
    const hubAheadMs = 1_000_000
    const exchanged = async (wayMs: number, aheadMs = hubAheadMs): Promise<number | undefined> => {
      exchange.prepare()
      bench.clock.advance(wayMs)
      const hubMs = bench.clock.monotonicMs() + aheadMs
      bench.clock.advance(wayMs)
      await exchange.takeIn({ controls: [], newTasks: [], watching: false, acked: [], hubMs })
      return exchange.hubClock.offsetMs
    }
    expect(exchange.hubClock.offsetMs).toBeUndefined()
    expect(await exchanged(300)).toBe(hubAheadMs - 300)
    expect(await exchanged(20)).toBe(hubAheadMs - 20)
    expect(await exchanged(500), 'a slow reply knows less').toBe(hubAheadMs - 20)
    expect(await exchanged(20, hubAheadMs + 60_000), 'our clock stood in suspend').toBe(hubAheadMs + 59_980)
    expect(await exchanged(20, hubAheadMs), 'it was set back').toBe(hubAheadMs - 20)
  })

  test('when there is more to say than a body may hold > it fits, and the rest follows at once', async () => {
    const outcome = { state: 'failed', code: 'x', message: '\u0001'.repeat(1_000) } as const
    for (let index = 0; index < 200; index++) {
      const control = issued(`c${index}`, 'poke', index + 1, `t${index}`)
      bench.ledger.record({ type: 'intent', control, delivery: 'atMostOnce' })
      bench.ledger.record({ type: 'outcome', controlId: control.controlId, outcome })
    }
    bench.runtime.restore(
      Array.from({ length: 900 }, (_, index) => ({
        ...job(`t${index}`),
        end: { status: 'failed' as const, message: '\u0001'.repeat(1_000) },
      })),
    )
    const said = new Set<string>()
    for (let count = 0; said.size < 200 || exchange.prepare().tasks.length > 0; count++) {
      expect(count, 'a sync without progress: the agent would be stuck').toBeLessThan(50)
      const request = exchange.prepare()
      expect(Buffer.byteLength(JSON.stringify(request))).toBeLessThan(limits.AGENT_BODY_BYTES_MAX)
      for (const { controlId } of request.outcomes) said.add(controlId)
      wanted.length = 0
      const changes = bench.changes
      await exchange.takeIn({ ...REPLY, acked: request.outcomes.map((item) => item.controlId) })
      const isDone = said.size === 200 && exchange.prepare().tasks.length === 0
      expect(isDone || wanted.length + bench.changes - changes > 0, 'the rest must not wait').toBe(true)
    }
  })
})
