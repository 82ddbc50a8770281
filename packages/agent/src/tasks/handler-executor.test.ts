/** Tasks that are code: schemas, verbs, pausing, and why a signal aborted. */
import { limits, type Json } from '@downlink/protocol'
import type { StandardSchemaV1 as Schema } from '@standard-schema/spec'
import { describe, expect, test } from 'vitest'
import { turn } from '../../test/fakes.ts'
import type { TaskRun } from './executor.ts'
import { createHandlerExecutor, type AnyTaskDefinition } from './handler-executor.ts'
import { CancelledError, defineTask, ShutdownError, type TaskContext } from './task.ts'

/** Accepts an object with a string member `name`, and hands on its upper case. */
function named(): Schema<{ name: string }, string> {
  return {
    '~standard': {
      version: 1,
      vendor: 'test',
      async validate(value) {
        const { name } = value as { name?: unknown }
        return typeof name === 'string'
          ? { value: name.toUpperCase() }
          : { issues: [{ message: 'must be a string', path: ['name'] }] }
      },
    },
  }
}

const said: string[] = []
const told = (): string[] => said.splice(0)

function start(definition: AnyTaskDefinition, input: Json = null, paused = false): TaskRun {
  told()
  return createHandlerExecutor(definition).start({
    taskId: 't1',
    kind: 'job',
    input,
    paused,
    reporter: {
      progress: (fraction, message) => void said.push(`${fraction} ${message ?? ''}`),
      log: (line) => void said.push(line),
      keepFacts: async () => undefined,
    },
  })
}

const forever = (task: TaskContext<never>): Promise<void> =>
  new Promise((_, reject) =>
    task.signal.addEventListener('abort', () => reject(task.signal.reason as Error), { once: true }),
  )

describe('given a task with a schema', () => {
  const definition = defineTask({
    input: named(),
    verbs: {
      rename: { args: named(), apply: (name, task) => task.log(`${task.input} is now ${name}`) },
      reload: { idempotent: true, apply: () => undefined },
      broken: {
        apply() {
          throw new Error('It broke.')
        },
      },
    },
    async run(task) {
      task.progress(0.5, task.input)
      await forever(task as TaskContext<never>)
    },
  })

  test('when its input fits > it runs with what the schema made of it', async () => {
    const run = start(definition, { name: 'ada' })
    await turn()
    expect(told()).toEqual(['0.5 ADA'])
    await run.applyVerb('rename', { name: 'bob' })
    expect(told()).toEqual(['ADA is now BOB'])
  })

  test('when its input does not fit > it fails as bad_input with the path, and does not run', async () => {
    expect(await start(definition, { name: 7 }).ended).toEqual({
      status: 'failed',
      code: 'bad_input',
      message: 'The input of task t1 does not fit: name: must be a string',
    })
    expect(told()).toEqual([])
  })

  test('when a verb is wrong > it says whether the verb, its arguments or its own code was', async () => {
    const run = start(definition, { name: 'ada' })
    await expect(run.applyVerb('rename', {})).rejects.toMatchObject({ code: 'bad_args' })
    await expect(run.applyVerb('constructor', null)).rejects.toMatchObject({ code: 'unsupported' })
    await expect(run.applyVerb('broken', null)).rejects.toThrow('It broke.')
  })

  test('when a verb comes before the task has begun > it waits; if the task never begins, it is too late', async () => {
    const run = start(definition, { name: 'ada' })
    await run.applyVerb('rename', { name: 'bob' })
    expect(told()).toEqual(['0.5 ADA', 'ADA is now BOB'])
    const refused = start(definition, { name: 7 })
    await expect(refused.applyVerb('rename', { name: 'bob' })).rejects.toMatchObject({
      code: 'task_not_running',
    })
  })

  test('when asked how a verb behaves in a crash > only what it declares and has', () => {
    const executor = createHandlerExecutor(definition)
    expect(['rename', 'reload', 'toString'].map((verb) => executor.deliveryOf(verb))).toEqual([
      'atMostOnce',
      'atLeastOnce',
      undefined,
    ])
  })
})

describe('given a handler that waits while it is paused', () => {
  const definition: AnyTaskDefinition = {
    async run(task) {
      for (let step = 1; ; step++) {
        await task.waitWhilePaused()
        task.log(`step ${step}`)
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
  }

  test('when it is paused and resumed > it stands still between', async () => {
    const run = start(definition)
    await turn()
    await run.pause()
    await turn()
    told()
    await turn()
    expect(told(), 'it must stand still').toEqual([])
    await run.resume()
    await turn()
    expect(told().length).toBeGreaterThan(0)
    await run.shutdown()
  })

  test('when it is cancelled while it is paused > it wakes with the reason and ends as cancelled', async () => {
    const run = start(definition)
    await run.pause()
    await turn()
    await run.cancel()
    expect(await run.ended).toEqual({ status: 'cancelled' })
  })

  test('when it was to start paused > none of its code runs before it is resumed', async () => {
    const run = start(definition, null, true)
    await turn()
    expect(told()).toEqual([])
    await run.resume()
    await turn()
    expect(told()[0]).toBe('step 1')
    await run.cancel()
  })
})

describe('given a handler that is told to end', () => {
  const reasons: unknown[] = []
  const returning = (value: Json | undefined): AnyTaskDefinition => ({
    async run(task) {
      await forever(task).catch((reason: unknown) => reasons.push(reason))
      return value
    },
  })

  test.each([
    ['cancelled and returns nothing', 'cancel', undefined, { status: 'cancelled' }],
    ['cancelled and completes anyway', 'cancel', 7, { status: 'completed', result: 7 }],
    ['stopped and returns nothing', 'shutdown', undefined, { status: 'interrupted' }],
    ['stopped and completes anyway', 'shutdown', 7, { status: 'completed', result: 7 }],
  ] as const)('when it is %s > that is its end, and the reason says who', async (_, how, value, end) => {
    reasons.length = 0
    const run = start(returning(value))
    await turn()
    await run[how]()
    expect(await run.ended).toEqual(end)
    expect(reasons[0]).toBeInstanceOf(how === 'cancel' ? CancelledError : ShutdownError)
  })
})

describe('given what a handler returns or throws', () => {
  let deep: Json = 1
  for (let level = 0; level < limits.JSON_DEPTH_MAX; level++) deep = [deep]

  test.each<[string, () => Json, object]>([
    ['a result', () => ({ a: 1 }), { status: 'completed', result: { a: 1 } }],
    ['too much', () => 'x'.repeat(limits.TASK_RESULT_BYTES_MAX), { code: 'result_too_large' }],
    ['something too deep for a sync', () => deep, { code: 'result_too_deep' }],
    ['what is no JSON', () => 1n as unknown as Json, { code: 'task_failed' }],
  ])('when it is %s > the task ends so', async (_, run, end) => {
    expect(await start({ run }).ended).toMatchObject(end)
  })

  test('when it throws what cannot be shown > the task fails all the same', async () => {
    const end = await start({ run: () => Promise.reject(Object.create(null) as Error) }).ended
    expect(end).toMatchObject({ status: 'failed', code: 'task_failed' })
  })
})
