/** The same scenarios on a real hub and on the test hub, with the same agent and the same faults: what shows must be the same. */
import type { Json } from '@downlink/protocol'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { Cleanup, RestartableHub, until } from '../../test/agent-fixture.ts'
import { createForwardingTransport } from '../../test/forwarding-transport.ts'
import { createAgent, defineTask, type Agent, type AgentOptions } from '../index.ts'
import { createTestHub } from './index.ts'

type Seen = { readonly state: string; readonly code?: string; readonly observed: boolean }

/** What a scenario needs of a hub. */
interface ContractHub {
  readonly agent: Partial<AgentOptions> & Pick<AgentOptions, 'hubs' | 'credential'>
  start(kind: string, taskId: string, input: Json): Promise<void>
  /** Asks for it and, unless told otherwise, waits until it is observed or will never be. */
  control(taskId: string, action: string, args?: Json, wait?: boolean): Promise<string>
  seen(controlId: string): Promise<Seen>
  taskState(taskId: string): Promise<string>
  readonly faults: { lostPushes: number; doubledPushes: number; lostReplies: number }
  dropStream(): void
  restart(): Promise<void>
}

async function realHub(cleanup: Cleanup): Promise<ContractHub> {
  const hub = await RestartableHub.start(cleanup)
  const transport = createForwardingTransport()
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads any shape and fails where it differs
  const item = async (path: string): Promise<any> => (await hub.call('GET', path)).body
  return {
    agent: { ...(await hub.enrolled()), transport },
    async start(kind, taskId, input) {
      const { status } = await hub.call('POST', 'agents/a1/tasks', { kind, taskId, input })
      expect(status, 'the hub refused the task').toBeLessThan(300)
    },
    async control(taskId, action, args, wait = true) {
      const query = wait ? '?wait=20s&until=observed' : ''
      const body = { action, taskId, ...(args === undefined ? {} : { args }) }
      const reply = await hub.call('POST', `agents/a1/controls${query}`, body)
      return (reply.body.controlId ?? reply.body.error) as string
    },
    async seen(controlId) {
      const { outcome, stamps } = await item(`controls/${controlId}`)
      return seenOf(outcome, stamps.observed !== undefined)
    },
    async taskState(taskId) {
      const { items } = await item('agents/a1/tasks')
      return items.find((task: { taskId: string }) => task.taskId === taskId)?.state ?? 'unknown'
    },
    faults: transport.faults,
    dropStream: () => transport.dropStream(),
    async restart() {
      await hub.stop()
      await hub.startAgain()
      // A connection of before is noticed as closed by the first request that takes it.
      await vi.waitFor(() => item('agents/a1'), { timeout: 20_000, interval: 10 })
    },
  }
}

function testHub(cleanup: Cleanup): Promise<ContractHub> {
  const hub = createTestHub({ agentId: 'a1' })
  cleanup.add(() => hub[Symbol.asyncDispose]())
  const faults = { lostPushes: 0, doubledPushes: 0, lostReplies: 0 }
  return Promise.resolve({
    agent: hub.agentOptions,
    start: (kind, taskId, input) => Promise.resolve(void hub.start(kind, input, { taskId })),
    async control(taskId, action, args, wait = true) {
      try {
        const { controlId } = await hub.control(taskId, action, args, wait ? {} : { until: 'accepted' })
        return controlId
      } catch (error) {
        return (error as { code: string }).code
      }
    },
    seen: (controlId) => {
      const { outcome, isObserved } = hub.findControl(controlId)
      return Promise.resolve(seenOf(outcome, isObserved))
    },
    taskState: (taskId) =>
      Promise.resolve(hub.tasks.find((task) => task.taskId === taskId)?.state ?? 'unknown'),
    faults: {
      get lostPushes() {
        return faults.lostPushes
      },
      set lostPushes(count: number) {
        hub.losePushes(count)
      },
      get doubledPushes() {
        return faults.doubledPushes
      },
      set doubledPushes(count: number) {
        hub.doublePushes(count)
      },
      get lostReplies() {
        return faults.lostReplies
      },
      set lostReplies(count: number) {
        hub.loseReplies(count)
      },
    },
    dropStream: () => hub.dropStream(),
    restart: () => Promise.resolve(hub.restart()),
  })
}

function seenOf(outcome: { state: string; code?: string }, observed: boolean): Seen {
  return { state: outcome.state, ...(outcome.code === undefined ? {} : { code: outcome.code }), observed }
}

interface Stage {
  readonly hub: ContractHub
  readonly agent: Agent
  /** What the verb `add` was applied with. */
  readonly added: Json[]
  readonly taskIs: (taskId: string, state: string) => Promise<void>
  readonly control: (taskId: string, action: string, args?: Json) => Promise<Seen>
  readonly settled: (controlId: string) => Promise<Seen>
}

const APPLIED: Seen = { state: 'applied', observed: true }

/** By name: what is done, and what it must come to. */
const SCENARIOS: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  'pause, resume, cancel > each is observed': async ({ hub, taskIs, control }) => {
    await hub.start('work', 't1', null)
    await taskIs('t1', 'running')
    expect(await control('t1', 'pause')).toEqual(APPLIED)
    await taskIs('t1', 'paused')
    expect(await control('t1', 'resume')).toEqual(APPLIED)
    expect(await control('t1', 'cancel')).toEqual(APPLIED)
    await taskIs('t1', 'cancelled')
    expect(await control('t1', 'pause')).toEqual({
      state: 'failed',
      code: 'already_finished',
      observed: false,
    })
  },
  'custom verbs > in order, with their arguments, once each': async ({ hub, taskIs, control, added }) => {
    await hub.start('work', 't1', null)
    await taskIs('t1', 'running')
    for (const by of [1, 2, 3]) expect(await control('t1', 'add', by)).toEqual(APPLIED)
    expect(added).toEqual([1, 2, 3])
    expect(await control('t1', 'unheard')).toMatchObject({ state: 'failed', code: 'unsupported' })
    expect(await control('t1', 'refuse')).toMatchObject({ state: 'failed', code: 'verb_failed' })
  },
  'a lost push > the next sync brings it': async ({ hub, agent, taskIs, settled, added }) => {
    await hub.start('work', 't1', null)
    await taskIs('t1', 'running')
    hub.faults.lostPushes = 1
    const controlId = await hub.control('t1', 'add', 7, false)
    agent.syncNow()
    expect(await settled(controlId)).toEqual(APPLIED)
    expect(added).toEqual([7])
  },
  'a doubled push and a lost reply > applied once': async ({ hub, taskIs, control, added }) => {
    await hub.start('work', 't1', null)
    await taskIs('t1', 'running')
    hub.faults.doubledPushes = 1
    hub.faults.lostReplies = 1
    expect(await control('t1', 'add', 1)).toEqual(APPLIED)
    expect(await control('t1', 'add', 2)).toEqual(APPLIED)
    expect(added).toEqual([1, 2])
  },
  'the stream drops > controls still arrive': async ({ hub, taskIs, control }) => {
    await hub.start('work', 't1', null)
    await taskIs('t1', 'running')
    hub.dropStream()
    expect(await control('t1', 'pause')).toEqual(APPLIED)
  },
  'the hub restarts > what is open is decided': async ({ hub, taskIs, control }) => {
    await hub.start('work', 't1', null)
    await taskIs('t1', 'running')
    expect(await control('t1', 'pause')).toEqual(APPLIED)
    await hub.restart()
    expect(await control('t1', 'resume')).toEqual(APPLIED)
    await taskIs('t1', 'running')
  },
  'pause, then resume before either is settled > the newer is left': async ({ hub, taskIs, settled }) => {
    await hub.start('work', 't1', null)
    await taskIs('t1', 'running')
    hub.faults.lostPushes = 1
    const pause = await hub.control('t1', 'pause', null, false)
    const resume = await hub.control('t1', 'resume', null, false)
    expect(await settled(resume)).toEqual(APPLIED)
    expect(await settled(pause)).toEqual({ state: 'superseded', observed: false })
  },
  'a second verb behind a cancel > refused': async ({ hub, taskIs, settled }) => {
    await hub.start('stubborn', 't1', null)
    await taskIs('t1', 'running')
    hub.faults.lostPushes = 1
    const cancel = await hub.control('t1', 'cancel', null, false)
    expect(await hub.control('t1', 'pause', null, false)).toBe('task_cancelling')
    hub.dropStream()
    expect(await settled(cancel)).toEqual(APPLIED)
  },
  'a decision on the machine > closes nothing that was settled': async ({ hub, agent, taskIs, control }) => {
    await hub.start('work', 't1', null)
    await taskIs('t1', 'running')
    await agent.decide('t1', 'pause')
    await taskIs('t1', 'paused')
    expect(await control('t1', 'resume')).toEqual(APPLIED)
  },
  'a task that ends by itself > its end is shown': async ({ hub, taskIs, control }) => {
    await hub.start('short', 't1', null)
    await taskIs('t1', 'completed')
    await hub.start('broken', 't2', null)
    await taskIs('t2', 'failed')
    expect(await control('t2', 'cancel')).toMatchObject({ state: 'failed', code: 'already_finished' })
  },
}

const HUBS: Readonly<Record<string, (cleanup: Cleanup) => Promise<ContractHub>>> = {
  'a real hub': realHub,
  'the test hub': testHub,
}

for (const [hubName, makeHub] of Object.entries(HUBS)) {
  describe(`given ${hubName}`, () => {
    test.each(Object.entries(SCENARIOS))('%s', async (_, scenario) => {
      const cleanup = new Cleanup()
      onTestFinished(() => cleanup[Symbol.asyncDispose]())
      const hub = await makeHub(cleanup)
      const added: Json[] = []
      const agent = createAgent({ ...hub.agent, tasks: tasksOf(added) })
      const running = agent.run()
      cleanup.add(async () => {
        await agent[Symbol.asyncDispose]()
        await running
      })
      await until('the agent holds a stream', () => agent.status().downlink === 'sse')
      const settled = async (controlId: string): Promise<Seen> => {
        let seen = await hub.seen(controlId)
        await polled(`control ${controlId} is settled`, async () => {
          seen = await hub.seen(controlId)
          return seen.observed || seen.state === 'failed' || seen.state === 'superseded'
        })
        return seen
      }
      await scenario({
        hub,
        agent,
        added,
        settled,
        taskIs: (taskId, state) =>
          polled(`${taskId} is ${state}`, async () => (await hub.taskState(taskId)) === state),
        control: async (taskId, action, args) => settled(await hub.control(taskId, action, args)),
      })
    })
  })
}

function tasksOf(added: Json[]): NonNullable<AgentOptions['tasks']> {
  const untilStopped = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    })
  return {
    work: defineTask({
      verbs: {
        add: { apply: (by: unknown) => void added.push(by as Json) },
        refuse: { apply: () => Promise.reject(new Error('No.')) },
      },
      run: (task) => untilStopped(task.signal),
    }),
    stubborn: defineTask({ run: (task) => untilStopped(task.signal) }),
    short: defineTask({ run: () => 'done' }),
    broken: defineTask({ run: () => Promise.reject(new Error('It broke.')) }),
  }
}

async function polled(what: string, probe: () => Promise<boolean>): Promise<void> {
  await vi.waitFor(
    async () => {
      if (!(await probe())) throw new Error(`It never came to this: ${what}.`)
    },
    { timeout: 20_000, interval: 10 },
  )
}
