/** Tasks from end to end: time limits, restarts of the agent, and what the hub shows of them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Cleanup, RestartableHub, runAgent, until } from '../test/agent-fixture.ts'
import { CancelledError, defineTask, processTask, TimedOutError, type AgentOptions } from './index.ts'

let cleanup: Cleanup
let hub: RestartableHub
let options: AgentOptions
let directory: string
beforeEach(async () => {
  cleanup = new Cleanup()
  hub = await RestartableHub.start(cleanup)
  directory = await cleanup.temporaryDirectory()
  options = { ...(await hub.enrolled()), stateDirectory: directory }
})
afterEach(() => cleanup[Symbol.asyncDispose]())

const start = (kind: string): Promise<unknown> => hub.call('POST', 'agents/a1/tasks', { kind, taskId: 't1' })

/** Resolves once the hub shows the task like this. */
async function shown(expected: object): Promise<void> {
  await vi.waitFor(
    async () => {
      const { body } = await hub.call('GET', 'agents/a1/tasks')
      expect(body.items[0]).toMatchObject(expected)
    },
    { timeout: 20_000, interval: 20 },
  )
}

describe('given a task with a time limit', () => {
  test('when a process runs longer > it is ended, and the hub shows failed: timed_out', async () => {
    const tasks = {
      slow: processTask({
        command: ['/bin/sh', '-c', 'trap "" TERM; sleep 1000'],
        timeLimitMs: 200,
        graceMs: 200,
      }),
    }
    runAgent(cleanup, { ...options, tasks })
    await start('slow')
    await shown({ state: 'failed', errorCode: 'timed_out' })
  })

  test('when a handler runs longer > it is told why', async () => {
    const reasons: unknown[] = []
    const slow = defineTask({
      timeLimitMs: 50,
      run: (task) =>
        new Promise<void>((resolve) =>
          task.signal.addEventListener(
            'abort',
            () => {
              reasons.push(task.signal.reason)
              resolve()
            },
            { once: true },
          ),
        ),
    })
    runAgent(cleanup, { ...options, tasks: { slow } })
    await start('slow')
    await shown({ state: 'failed', errorCode: 'timed_out' })
    expect(reasons[0]).toBeInstanceOf(TimedOutError)
    expect(reasons[0]).toBeInstanceOf(CancelledError)
  })
})

describe('given tasks that must not begin twice', () => {
  const hold = (task: { signal: AbortSignal }): Promise<void> =>
    new Promise((resolve) => task.signal.addEventListener('abort', () => resolve(), { once: true }))

  test('when the agent starts again > a handler that had begun has failed as interrupted', async () => {
    const began: string[] = []
    const once = defineTask({
      onRestart: 'fail',
      async run(task) {
        began.push(task.taskId)
        await hold(task)
      },
    })
    const first = runAgent(cleanup, { ...options, tasks: { once } })
    await start('once')
    await until('the task has begun', () => began.length === 1)
    await first.stop()
    runAgent(cleanup, { ...options, tasks: { once } })
    await shown({ state: 'failed', errorCode: 'interrupted' })
    expect(began).toEqual(['t1'])
  })

  test('when it is a process > so has it, and it was started once', async () => {
    const mark = join(directory, 'began')
    const tasks = {
      once: processTask({
        command: ['/bin/sh', '-c', `echo began >> ${mark}; exec sleep 1000`],
        onRestart: 'fail',
        graceMs: 500,
      }),
    }
    const began = (): Promise<string> => readFile(mark, 'utf8').catch(() => '')
    const first = runAgent(cleanup, { ...options, tasks })
    await start('once')
    await vi.waitFor(async () => expect(await began()).toBe('began\n'), { timeout: 20_000 })
    await first.stop()
    runAgent(cleanup, { ...options, tasks })
    await shown({ state: 'failed', errorCode: 'interrupted' })
    expect(await began()).toBe('began\n')
  })
})

describe('given a task that waits for the agent to be back', () => {
  test('when it was paused on the machine before > it is still paused, and the hub shows it', async () => {
    const began: string[] = []
    const work = defineTask({
      async run(task) {
        began.push('began')
        await new Promise<void>((resolve) =>
          task.signal.addEventListener('abort', () => resolve(), { once: true }),
        )
      },
    })
    const first = runAgent(cleanup, { ...options, tasks: { work } })
    await start('work')
    await until('the task has begun', () => began.length === 1)
    await first.agent.decide('t1', 'pause')
    await first.stop()
    runAgent(cleanup, { ...options, tasks: { work } })
    await shown({ state: 'paused' })
    expect(began, 'an intended pause holds before anything starts').toEqual(['began'])
  })
})
