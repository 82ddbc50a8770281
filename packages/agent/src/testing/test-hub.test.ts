/** The test hub as an adopter uses it: an agent of the real SDK, no sockets, no disk, virtual time. */
import { DownlinkError } from '@downlink/protocol'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createAgent, defineTask, type Agent, type AgentOptions } from '../index.ts'
import { advanceUntil, createTestClock, createTestHub, passTime, type TestHub } from './index.ts'

interface World {
  readonly hub: TestHub
  readonly agent: Agent
  readonly counted: number[]
  /** Lets virtual time pass until it is so. */
  readonly so: <T>(work: PromiseLike<T>, msMax?: number) => Promise<T>
  readonly pass: (ms: number) => Promise<void>
  readonly run: Promise<unknown>
}

function world(options: Partial<AgentOptions> = {}): World {
  const clock = createTestClock()
  const hub = createTestHub({ clock })
  const counted: number[] = []
  const count = defineTask({
    verbs: {
      add: {
        apply: (by: unknown) => void counted.push(Number(by)),
      },
    },
    async run(task) {
      for (;;) {
        await task.waitWhilePaused()
        await new Promise<void>((resolve, reject) => {
          const timer = clock.setTimer(1_000, resolve)
          const onAbort = (): void => {
            timer.cancel()
            reject(task.signal.reason as Error)
          }
          task.signal.addEventListener('abort', onAbort, { once: true })
        })
      }
    },
  })
  const agent = createAgent({ ...hub.agentOptions, tasks: { count }, ...options })
  const run = agent.run()
  run.catch(() => undefined)
  const so = <T>(work: PromiseLike<T>, msMax?: number): Promise<T> => advanceUntil(clock, work, msMax)
  onTestFinished(async () => {
    await so(agent[Symbol.asyncDispose]())
    await hub[Symbol.asyncDispose]()
  })
  return { hub, agent, counted, run, so, pass: (ms) => passTime(clock, ms) }
}

describe('given an agent on a test hub with virtual time', () => {
  test('a task and its controls > each is observed, and the last one ends it', async () => {
    const { hub, so } = world()
    hub.start('count', null, { taskId: 't1' })
    await so(hub.taskIs('t1', 'running'))
    expect((await so(hub.pause('t1'))).outcome).toEqual({ state: 'applied', confirmedBy: 'agent' })
    expect(hub.task('t1').state).toBe('paused')
    expect((await so(hub.resume('t1'))).isObserved, 'resume must show').toBe(true)
    await so(hub.cancel('t1'))
    expect(hub.task('t1').state).toBe('cancelled')
  })

  test('a control > is pushed, and needs no time at all', async () => {
    const { hub, so } = world()
    hub.start('count', null, { taskId: 't1' })
    await so(hub.taskIs('t1', 'running'))
    const beforeMs = hub.clock.monotonicMs()
    await so(hub.pause('t1'))
    expect(hub.clock.monotonicMs() - beforeMs, 'it waited for a sync: see the push').toBeLessThan(1_000)
  })

  test('a lost push > the next sync brings the control', async () => {
    const { hub, so } = world()
    hub.start('count', null, { taskId: 't1' })
    await so(hub.taskIs('t1', 'running'))
    hub.losePushes()
    const beforeMs = hub.clock.monotonicMs()
    await so(hub.pause('t1'))
    expect(hub.clock.monotonicMs() - beforeMs, 'the push was not lost').toBeGreaterThan(1_000)
  })

  test('a doubled push and a lost reply > a verb is applied once', async () => {
    const { hub, so, counted, pass } = world()
    hub.start('count', null, { taskId: 't1' })
    await so(hub.taskIs('t1', 'running'))
    hub.doublePushes()
    hub.loseReplies()
    await so(hub.control('t1', 'add', 5))
    await pass(60_000)
    expect(counted, 'the ledger must drop what it has decided').toEqual([5])
  })

  test('the stream is dropped > the agent comes back and hears of what was asked meanwhile', async () => {
    const { hub, so } = world()
    hub.start('count', null, { taskId: 't1' })
    await so(hub.taskIs('t1', 'running'))
    hub.goAway()
    const paused = hub.pause('t1')
    expect(hub.isStreaming).toBe(false)
    hub.comeBack()
    await so(paused)
    await so(hub.until('the stream is back', () => hub.isStreaming))
  })

  test('no stream ever works > controls arrive by long-polling', async () => {
    const { hub, agent, so, pass } = world({ mode: 'poll' })
    hub.start('count', null, { taskId: 't1' })
    await so(hub.taskIs('t1', 'running'))
    await pass(30_000)
    const beforeMs = hub.clock.monotonicMs()
    await so(hub.cancel('t1'))
    expect(hub.clock.monotonicMs() - beforeMs, 'the wake was not answered').toBeLessThan(5_000)
    expect(agent.status().downlink).toBe('long-poll')
  })

  test('the hub restarts > an open control is handed out again, in a higher epoch', async () => {
    const { hub, so } = world()
    hub.start('count', null, { taskId: 't1' })
    await so(hub.taskIs('t1', 'running'))
    const first = await so(hub.pause('t1'))
    hub.restart()
    const second = await so(hub.resume('t1'))
    expect(second.epoch).toBe(first.epoch + 1)
  })

  test('an hour goes by > the stream holds, and the syncs keep the pace', async () => {
    const { hub, so, pass } = world()
    await so(hub.until('a stream', () => hub.isStreaming))
    const before = hub.syncs.length
    await pass(3_600_000)
    expect(hub.isStreaming, 'heartbeats must reach the agent as time passes').toBe(true)
    expect(hub.syncs.length - before).toBeGreaterThan(50)
    expect(hub.syncs.length - before).toBeLessThan(70)
    expect(hub.syncs.at(-1)?.heartbeat?.counter, 'the echo of the last heartbeat').toBeGreaterThan(200)
  })

  test('the agent is revoked > its status says so, and it ends once that is confirmed', async () => {
    const { hub, agent, so, run } = world()
    await so(hub.until('a stream', () => hub.isStreaming))
    const { promise, resolve } = Promise.withResolvers<void>()
    agent.on('status', ({ status }) => {
      if (status.standing !== 'ok') resolve()
    })
    hub.revoke()
    await so(promise)
    expect(agent.status().remedy).toMatch(/revoked/)
    expect(await so(run), 'it asks again, and then it believes it').toEqual({ reason: 'revoked' })
  })

  test('a control of a task that nobody has > fails, and the wait ends', async () => {
    const { hub, so } = world()
    const control = await so(hub.cancel('nobody'))
    expect(control.outcome).toMatchObject({ state: 'failed', code: 'task_unknown' })
  })

  test('a second verb while a cancel is open > is refused as a hub refuses it', async () => {
    const { hub, so } = world()
    hub.start('count', null, { taskId: 't1' })
    await so(hub.taskIs('t1', 'running'))
    hub.goAway()
    await hub.cancel('t1', { until: 'accepted' })
    await expect(hub.pause('t1')).rejects.toMatchObject({ code: 'task_cancelling' })
    hub.comeBack()
    await so(hub.taskIs('t1', 'cancelled'))
  })

  test('what never comes > is said when the hub closes, and by the clock', async () => {
    const hub = createTestHub({ clock: createTestClock() })
    const waiting = hub.cancel('t1')
    const clock = createTestClock()
    await expect(advanceUntil(clock, waiting)).rejects.toThrow(/No timer is set on this clock/)
    await hub[Symbol.asyncDispose]()
    const error: unknown = await waiting.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(DownlinkError)
    expect(String(error)).toMatch(/never came to this: cancel of t1 is observed/)
  })
})
