/** The whole agent against a real hub, and against servers that say what a test wants. */
import { DownlinkError, type Control } from '@downlink/protocol'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  Cleanup,
  RestartableHub,
  runAgent,
  startScriptedServer,
  until,
  type ScriptedServer,
} from '../test/agent-fixture.ts'
import {
  createAgent,
  defineTask,
  enroll,
  memoryCredential,
  ShutdownError,
  type AgentOptions,
  type TaskContext,
} from './index.ts'

let cleanup: Cleanup
beforeEach(() => void (cleanup = new Cleanup()))
afterEach(() => cleanup[Symbol.asyncDispose]())

/** What the tasks of a test did, in order. */
let did: string[]
beforeEach(() => void (did = []))

const work = defineTask({
  verbs: {
    tune: {
      apply(args, task) {
        if (args === null) throw new DownlinkError('bad_args', 'Say how.')
        did.push(`tune ${task.taskId} ${JSON.stringify(args)}`)
      },
    },
  },
  async run(task: TaskContext) {
    did.push(`start ${task.taskId}`)
    task.progress(0.5, 'half')
    task.log('hello')
    await new Promise<void>((resolve) =>
      task.signal.addEventListener('abort', () => resolve(), { once: true }),
    )
    did.push(`${task.signal.reason instanceof ShutdownError ? 'stop' : 'cancel'} ${task.taskId}`)
  },
})

/** A state in which the hub shows a task of `a1`. */
async function taskState(hub: RestartableHub, taskId: string): Promise<string | undefined> {
  const { body } = await hub.call('GET', 'agents/a1/tasks')
  return body.items.find((task: { taskId: string }) => task.taskId === taskId)?.state as string | undefined
}

describe('given a hub and an agent with tasks', () => {
  let hub: RestartableHub
  let options: AgentOptions
  beforeEach(async () => {
    hub = await RestartableHub.start(cleanup)
    options = { ...(await hub.enrolled()), tasks: { work } }
  })

  async function startTask(taskId: string): Promise<void> {
    const reply = await hub.call('POST', 'agents/a1/tasks', { kind: 'work', taskId })
    expect(reply.status).toBe(201)
    await until(`task ${taskId} runs`, () => did.includes(`start ${taskId}`))
  }

  test('when an operator pauses, resumes and cancels > each is observed', async () => {
    runAgent(cleanup, options)
    await startTask('t1')
    for (const [action, state] of [
      ['pause', 'paused'],
      ['resume', 'running'],
      ['cancel', 'cancelled'],
    ] as const) {
      const control = await hub.control(action, 't1', 'observed')
      expect(control.outcome).toEqual({ state: 'applied', confirmedBy: 'agent' })
      expect(control.stamps.observed, `${action} was never observed`).toBeDefined()
      expect(await taskState(hub, 't1')).toBe(state)
    }
    expect(did).toEqual(['start t1', 'cancel t1'])
    expect((await hub.control('pause', 't1', 'applied')).outcome).toMatchObject({ code: 'already_finished' })
  })

  test('when a verb of its own is sent > it is applied once, with its arguments, or says why not', async () => {
    runAgent(cleanup, options)
    await startTask('t1')
    expect((await hub.control('tune', 't1', 'applied', { speed: 2 })).outcome).toMatchObject({
      state: 'applied',
    })
    expect(did).toContain('tune t1 {"speed":2}')
    expect((await hub.control('tune', 't1', 'applied')).outcome).toMatchObject({
      state: 'failed',
      code: 'bad_args',
    })
    expect((await hub.control('wash', 't1', 'applied')).outcome).toMatchObject({
      state: 'failed',
      code: 'unsupported',
    })
  })

  test('when the application has tasks of its own > onControl decides theirs, its events and errors are told', async () => {
    const heard: string[] = []
    const { agent } = runAgent(cleanup, {
      ...options,
      onControl({ taskId, action }: Control) {
        did.push(`${action} ${taskId}`)
        if (action === 'resume') throw new Error('The table is locked.')
        return action === 'eject' ? { state: 'failed', code: 'jammed', message: 'It is stuck.' } : undefined
      },
    })
    agent.on('control', ({ control, outcome }) => void heard.push(`${control.action} ${outcome.state}`))
    expect((await hub.control('pause', 'theirs', 'applied')).outcome).toMatchObject({ state: 'applied' })
    expect((await hub.control('resume', 'theirs', 'applied')).outcome).toMatchObject({ code: 'verb_failed' })
    expect((await hub.control('eject', 'theirs', 'applied')).outcome).toMatchObject({ code: 'jammed' })
    expect(did).toEqual(['pause theirs', 'resume theirs', 'eject theirs'])
    expect(heard).toEqual(['pause applied', 'resume failed', 'eject failed'])
  })

  test('when a task is tracked > it is steered like any other, also by a decision on this machine', async () => {
    const { agent } = runAgent(cleanup, options)
    const tracked = agent.track('own-1', { kind: 'copy' })
    expect((await hub.control('pause', 'own-1', 'observed')).outcome).toMatchObject({ state: 'applied' })
    expect(tracked.paused).toBe(true)
    await agent.decide('own-1', 'resume')
    expect(tracked.paused).toBe(false)
    await expect(agent.decide('nobody', 'pause')).rejects.toMatchObject({ code: 'task_unknown' })
    const cancelled = hub.control('cancel', 'own-1', 'observed')
    await until('the tracked task is told to end', () => tracked.signal.aborted)
    tracked.fail(tracked.signal.reason)
    expect((await cancelled).stamps.observed).toBeDefined()
  })

  test('when the hub stops and starts again > controls and tasks go on, nothing is done twice', async () => {
    runAgent(cleanup, options)
    await startTask('t1')
    await hub.control('tune', 't1', 'applied', { speed: 1 })
    await hub.stop()
    await hub.startAgain()
    const control = hub.control('tune', 't1', 'applied', { speed: 2 })
    expect((await control).outcome).toMatchObject({ state: 'applied' })
    expect((await hub.control('cancel', 't1', 'observed')).stamps.observed).toBeDefined()
    expect(did).toEqual(['start t1', 'tune t1 {"speed":1}', 'tune t1 {"speed":2}', 'cancel t1'])
  })

  test('when the agent starts again in its folder > a running task starts anew, an intended pause holds', async () => {
    const stateDirectory = await cleanup.temporaryDirectory()
    const first = runAgent(cleanup, { ...options, stateDirectory })
    await startTask('t1')
    await startTask('t2')
    await hub.control('pause', 't2', 'observed')
    await first.stop()
    expect(did.splice(0).toSorted()).toEqual(['start t1', 'start t2', 'stop t1', 'stop t2'])
    const cancelled = hub.control('cancel', 't1', 'observed')
    const second = runAgent(cleanup, { ...options, stateDirectory })
    expect((await cancelled).stamps.observed).toBeDefined()
    expect(await taskState(hub, 't2')).toBe('paused')
    expect(did, 'a paused task must not start').not.toContain('start t2')
    await hub.control('resume', 't2', 'observed')
    expect(did).toContain('start t2')
    await second.stop()
  })

  test('when a task is started and cancelled while the agent is away > it never begins', async () => {
    await hub.call('POST', 'agents/a1/tasks', { kind: 'work', taskId: 't1' })
    const cancelled = hub.control('cancel', 't1', 'observed')
    await hub.hasControls()
    runAgent(cleanup, options)
    expect((await cancelled).stamps.observed).toBeDefined()
    expect(did).toEqual([])
  })

  test('when the hub is gone at the stop > the agent stops all the same', async () => {
    const { agent, stop } = runAgent(cleanup, options)
    await until('the stream is open', () => agent.status().downlink === 'sse')
    await startTask('t1')
    await hub.stop()
    await stop()
    expect(did).toEqual(['start t1', 'stop t1'])
    await expect(agent.decide('t1', 'pause')).rejects.toMatchObject({ code: 'not_running' })
    await hub.startAgain()
  })

  test('when keys go wrong > neither log nor error shows one', async () => {
    const key = (await options.credential.read()) ?? ''
    const wrong = `${key.slice(0, -4)}AAAA`
    const { agent, logged } = runAgent(cleanup, { ...options, credential: memoryCredential(wrong) })
    const { remedy } = await until(
      'the agent is blocked',
      () => agent.status().standing === 'blocked' && agent.status(),
    )
    expect(remedy).toMatch(/Enroll the agent again/)
    await until('a failure is logged', () => logged.length > 0)
    for (const secret of [wrong, wrong.split('.').at(-1) ?? '-']) {
      expect(inspect(logged, { depth: 8 }), 'the log shows a key').not.toContain(secret)
    }
  })

  test('when it is enrolled twice with one key > the second is told so, and keeps no credential', async () => {
    const { body } = await hub.call('POST', 'enrollment-keys', { uses: 1 })
    const enrollmentKey = body.key as string
    const [first, second] = [memoryCredential(), memoryCredential()]
    const request = { hub: hub.url, enrollmentKey, agentId: 'b1', exchangeId: 'exchange-1' }
    await enroll({ ...request, credential: first })
    await expect(
      enroll({ ...request, agentId: 'b2', exchangeId: 'exchange-2', credential: second }),
    ).rejects.toMatchObject({ code: 'used' })
    expect(await second.read()).toBeUndefined()
    await enroll({ ...request, credential: second })
    expect(await second.read(), 'a lost reply must burn nothing').not.toBe(await first.read())
  })
})

describe('given an agent that cannot start', () => {
  const unreachable = { hubs: ['http://127.0.0.1:9'], tasks: { work } }

  test('when there is no credential > run rejects with what to do, and a tracked task is told', async () => {
    const agent = createAgent({ ...unreachable, credential: memoryCredential() })
    const [tracked, ended] = [agent.track('t1'), agent.track('t2')]
    ended.complete()
    await expect(agent.run()).rejects.toMatchObject({ code: 'no_credential' })
    expect(tracked.signal.reason).toBeInstanceOf(ShutdownError)
    expect(() => agent.run()).toThrow(TypeError)
    await agent[Symbol.asyncDispose]()
  })

  test('when the state directory is a file > run rejects', async () => {
    const directory = await cleanup.temporaryDirectory()
    const stateDirectory = `${directory}/journal.jsonl/inside`
    const credential = memoryCredential('key')
    const first = createAgent({ ...unreachable, credential, agentId: 'a1', stateDirectory: directory })
    await first.run({ signal: AbortSignal.abort() })
    const agent = createAgent({ ...unreachable, credential, agentId: 'a1', stateDirectory })
    await expect(agent.run()).rejects.toMatchObject({ code: 'ENOTDIR' })
  })

  test.each([
    ['no hub', { hubs: [] }],
    ['no slot', { hubs: ['http://127.0.0.1:9'], concurrency: 0 }],
  ])('when it is given %s > createAgent throws', (_, options) => {
    expect(() => createAgent({ credential: memoryCredential(), ...options })).toThrow(TypeError)
  })
})

describe('given a server in the hands of the test', () => {
  let server: ScriptedServer
  let options: AgentOptions
  beforeEach(async () => {
    server = await startScriptedServer(cleanup)
    options = {
      hubs: [server.url],
      credential: memoryCredential('plain-key'),
      agentId: 'a1',
      tasks: { work },
    }
  })

  test('when it is disposed while it starts > nothing is started, and no sync says that it holds nothing', async () => {
    const stateDirectory = await cleanup.temporaryDirectory()
    const agent = createAgent({ ...options, stateDirectory })
    const running = agent.run()
    await agent[Symbol.asyncDispose]()
    expect(await running).toEqual({ reason: 'stopped' })
    expect([server.syncs, did]).toEqual([[], []])
  })

  test('when it pushes a control twice, over a restart and unacknowledged > it is decided once, reported always', async () => {
    const stateDirectory = await cleanup.temporaryDirectory()
    const reload = {
      action: 'reload',
      taskId: 'theirs',
      controlId: 'a1~1',
      epoch: 1,
      revision: 1,
      args: { hard: true },
    }
    const own: AgentOptions = {
      ...options,
      stateDirectory,
      tasks: {},
      onControl: ({ action, args }) => void did.push(`${action} ${JSON.stringify(args)}`),
    }
    const reports = (from: number): boolean =>
      server.syncs.slice(from).some(({ outcomes }) => outcomes[0]?.controlId === reload.controlId)
    const first = runAgent(cleanup, own)
    await until('the stream is open', () => server.streams.size === 1)
    server.push(reload, reload)
    await until('its outcome is reported', () => reports(0))
    await first.stop()
    const seen = server.syncs.length
    runAgent(cleanup, own)
    await until('the stream is open again', () => server.streams.size === 1)
    server.push(reload)
    await until('its outcome is reported again', () => reports(seen))
    expect(did).toEqual(['reload {"hard":true}'])
    const ids = new Set(server.syncs.map(({ journalId }) => journalId as string))
    expect(ids.size, 'the journal must be the same one').toBe(1)
  })

  test('when it knows only the original wire > its controls hold as long as it says them, and are no storm', async () => {
    let controls: readonly { action: string; taskId: string }[] = []
    let newTasks: readonly { id: string; kind: string }[] = [{ id: 't1', kind: 'work' }]
    server.answer = () => ({ controls, newTasks, watching: false })
    const statusIn = (from: number): string | undefined =>
      server.syncs.slice(from).at(-1)?.tasks[0]?.status as string | undefined
    const { agent } = runAgent(cleanup, options)
    await until('the stream is open', () => server.streams.size === 1)
    await until('the task runs', () => statusIn(0) === 'running')
    newTasks = []
    for (const [action, status] of [
      ['pause', 'paused'],
      ['resume', 'running'],
    ] as const) {
      controls = [{ action, taskId: 't1' }]
      server.push({ action, taskId: 't1' })
      await until(`the task is ${status}`, () => statusIn(0) === status)
      const count = server.syncs.length
      // Handed out again by every sync: applied again, and no reason for another one.
      agent.syncNow()
      await until('one more sync is answered', () => server.syncs.length > count)
    }
    controls = [{ action: 'cancel', taskId: 't1' }]
    agent.syncNow()
    await until('the task is reported as cancelled', () => statusIn(0) === 'cancelled')
    agent.syncNow()
    await until('and then no more', () => server.syncs.at(-1)?.tasks.length === 0)
    expect(did).toEqual(['start t1', 'cancel t1'])
    expect(server.syncs.length, 'its controls made a storm of syncs').toBeLessThan(30)
    for (const { outcomes } of server.syncs) expect(outcomes, 'it cannot read outcomes').toEqual([])
  })
})
