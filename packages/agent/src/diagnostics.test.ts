/** What an agent publishes for tracing, seen from an application that subscribes. */
import { subscribe, tracingChannel, unsubscribe } from 'node:diagnostics_channel'
import { expect, onTestFinished, test } from 'vitest'
import { createAgent, defineTask, type AgentDiagnostics, type SyncTrace } from './index.ts'
import { advanceUntil, createTestClock, createTestHub, passTime } from './testing/index.ts'

function heard<K extends keyof AgentDiagnostics>(name: K): AgentDiagnostics[K][] {
  const messages: AgentDiagnostics[K][] = []
  const listen = (message: unknown): void => void messages.push(message as AgentDiagnostics[K])
  subscribe(name, listen)
  onTestFinished(() => void unsubscribe(name, listen))
  return messages
}

test('given subscribers > connection, stream, control, sync and standing are published, in order and without secrets', async () => {
  const clock = createTestClock()
  const hub = createTestHub({ clock, agentId: 'a1' })
  const connects = heard('downlink:agent:connect')
  const failures = heard('downlink:agent:connect-failed')
  const opened = heard('downlink:agent:stream-open')
  const closed = heard('downlink:agent:stream-close')
  const controls = heard('downlink:agent:control')
  const standings = heard('downlink:agent:standing')
  const syncs: [string, SyncTrace][] = []
  const subscribers = {
    start: (trace: unknown) => void syncs.push(['start', trace as SyncTrace]),
    end: () => undefined,
    asyncStart: () => undefined,
    asyncEnd: (trace: unknown) => void syncs.push(['asyncEnd', trace as SyncTrace]),
    error: (trace: unknown) => void syncs.push(['error', trace as SyncTrace]),
  }
  const tracing = tracingChannel('downlink:agent:sync')
  tracing.subscribe(subscribers)
  onTestFinished(() => tracing.unsubscribe(subscribers))

  const wait = defineTask({
    run: (task) =>
      new Promise<never>((_, reject) => {
        task.signal.addEventListener('abort', () => reject(task.signal.reason as Error), { once: true })
      }),
  })
  const agent = createAgent({ ...hub.agentOptions, tasks: { wait }, random: () => 0.5 })
  const run = agent.run()
  hub.start('wait', { secret: 'input-of-a-task' }, { taskId: 't1' })
  await advanceUntil(clock, hub.taskIs('t1', 'running'))
  hub.doublePushes()
  await advanceUntil(clock, hub.pause('t1'))
  hub.goAway()
  await passTime(clock, 30_000)
  hub.comeBack()
  await advanceUntil(clock, hub.cancel('t1'))
  await passTime(clock, 1_000)
  await advanceUntil(clock, agent[Symbol.asyncDispose]())
  await run
  await hub[Symbol.asyncDispose]()

  expect(connects[0]).toEqual({ agentId: 'a1', hub: 'https://hub.test' })
  expect(failures[0]).toMatchObject({ agentId: 'a1', code: 'connection_lost', failureCount: 1 })
  expect(opened[0]?.url).toBe('https://hub.test/api/internal/agent/events')
  expect(closed[0]).toMatchObject({ reason: 'lost', code: 'connection_lost' })
  const steps = controls.filter(({ action }) => action === 'pause')
  expect(steps.map(({ step, verdict, outcome }) => verdict ?? outcome ?? step)).toEqual([
    'received',
    'accept',
    'journalled',
    'applied',
    'received',
    'duplicate',
  ])
  expect(controls.filter(({ step }) => step === 'acknowledged').length).toBe(2)
  expect(standings[0]).toMatchObject({ agentId: 'a1', status: { standing: 'ok' } })
  expect(standings.map(({ status }) => status.downlink)).toContain('offline')
  expect(syncs[0]?.[0]).toBe('start')
  expect(syncs[1]).toMatchObject(['asyncEnd', { agentId: 'a1', roundTripMs: 0 }])
  expect(syncs.some(([name]) => name === 'error')).toBe(true)
  const shown = JSON.stringify([connects, failures, opened, closed, controls, standings, syncs])
  expect(shown, 'payloads hold no key').not.toContain('for-tests-only')
  expect(shown, 'payloads hold no input, not even as the result that Node adds').not.toContain(
    'input-of-a-task',
  )
})

test('given a status snapshot > it counts tasks and controls, and says when the hub last answered', async () => {
  const clock = createTestClock()
  const hub = createTestHub({ clock })
  const agent = createAgent({ ...hub.agentOptions, onControl: () => undefined })
  const before = agent.status()
  expect(before).toMatchObject({ downlink: 'offline', journal: 'closed', openControls: 0 })
  expect(before.lastSync).toBeUndefined()
  const run = agent.run()
  const tracked = agent.track('mine', { kind: 'backup' })
  await advanceUntil(clock, hub.pause('mine'))
  expect(agent.status()).toMatchObject({
    standing: 'ok',
    downlink: 'sse',
    journal: 'memory',
    tasks: { paused: 1, running: 0 },
    lastSync: { roundTripMs: 0 },
  })
  tracked.complete()
  await advanceUntil(clock, agent[Symbol.asyncDispose]())
  await run
  expect(agent.status().journal).toBe('closed')
  await hub[Symbol.asyncDispose]()
})
