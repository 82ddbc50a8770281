import { limits } from '@downlink/protocol'
import { expect, onTestFinished, test } from 'vitest'
import { createAgent, defineTask, type AgentOptions } from './index.ts'
import { advanceUntil, createTestClock, createTestHub, passTime } from './testing/index.ts'

/** An agent that runs against a hub in memory. */
function startAgent(options: Pick<AgentOptions, 'tasks' | 'onControl' | 'logger'>) {
  const clock = createTestClock()
  const hub = createTestHub({ clock })
  const agent = createAgent({ ...hub.agentOptions, ...options })
  const running = agent.run()
  onTestFinished(() => hub[Symbol.asyncDispose]())
  return { clock, hub, agent, running }
}

test('given a task at work > by one last sync the hub hears what the stop has made of it', async () => {
  const work = defineTask({
    run: ({ signal }) => new Promise<never>((_, reject) => (signal.onabort = reject)),
  })
  const { clock, hub, agent, running } = startAgent({ tasks: { work } })
  const { taskId } = hub.start('work')
  await advanceUntil(clock, hub.taskIs(taskId, 'running'))
  await passTime(clock, 1_000)
  const syncs = hub.syncs.length
  await advanceUntil(clock, agent[Symbol.asyncDispose]())
  expect(hub.syncs).toHaveLength(syncs + 1)
  expect(hub.syncs.at(-1)).toMatchObject({ freeSlots: 0, tasks: [{ taskId, status: 'queued' }] })
  expect(await running).toEqual({ reason: 'stopped' })
})

test('given listeners > changes of the status and outcomes are told', async () => {
  const work = defineTask({
    run: ({ signal }) => new Promise<never>((_, reject) => (signal.onabort = reject)),
  })
  const { clock, hub, agent } = startAgent({ tasks: { work } })
  const told: string[] = []
  agent.on('status', ({ status }) => void told.push(status.downlink))
  agent.on('control', ({ control, outcome }) => void told.push(`${control.action} ${outcome.state}`))
  const { taskId } = hub.start('work')
  await advanceUntil(clock, hub.taskIs(taskId, 'running'))
  await advanceUntil(clock, hub.pause(taskId))
  await advanceUntil(clock, agent[Symbol.asyncDispose]())
  expect(new Set(told)).toEqual(new Set(['sse', 'pause applied', 'timer']))
})

test('given a control that the application never decides > the stop waits STOP_CONTROLS_MS_MAX for it, and says so', async () => {
  const warned: string[] = []
  const ignore = (): void => undefined
  const { clock, hub, agent } = startAgent({
    onControl: () => new Promise(() => undefined),
    logger: { debug: ignore, info: ignore, error: ignore, warn: (_, message) => void warned.push(message) },
  })
  await advanceUntil(clock, hub.control('t1', 'ponder', null, { until: 'accepted' }))
  await advanceUntil(
    clock,
    hub.until('it is taken on', () => hub.syncs.some(({ received }) => received.length === 1)),
  )
  const fromMs = clock.monotonicMs()
  await advanceUntil(clock, agent[Symbol.asyncDispose]())
  expect(clock.monotonicMs() - fromMs).toBe(limits.STOP_CONTROLS_MS_MAX)
  expect(warned.join()).toContain('still being applied')
  expect(hub.syncs.at(-1)?.outcomes, 'nothing is said that is not so').toEqual([])
})
