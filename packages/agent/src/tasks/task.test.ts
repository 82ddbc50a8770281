/** What an application's own definitions are inferred to; the compiler is the test, and `npm run check` runs it. */
import type { Json } from '@downlink/protocol'
import type { StandardSchemaV1 as Schema } from '@standard-schema/spec'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { createAgent, memoryCredential, type TaskMap } from '../index.ts'
import { CancelledError, defineTask, ShutdownError, TimedOutError, type TaskContext } from './task.ts'

/** A schema that takes one type and makes another of it. */
function schema<In, Out>(make: (value: In) => Out): Schema<In, Out> {
  return {
    '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: make(value as In) }) },
  }
}

const asDate = schema((text: string) => new Date(text))
const asRate = schema(({ rate }: { rate: string }) => ({ rate: Number(rate) }))

describe('given a definition with schemas', () => {
  const backup = defineTask({
    input: asDate,
    verbs: {
      limit: {
        args: asRate,
        apply(args, task) {
          expectTypeOf(args).toEqualTypeOf<{ rate: number }>()
          expectTypeOf(task).toEqualTypeOf<TaskContext<Date>>()
        },
      },
      since: {
        args: asDate,
        idempotent: true,
        apply: (args) => expectTypeOf(args).toEqualTypeOf<Date>() as unknown as void,
      },
      flush: { apply: (args) => expectTypeOf(args).toEqualTypeOf<unknown>() as unknown as void },
    },
    run(task) {
      expectTypeOf(task.input).toEqualTypeOf<Date>()
      expectTypeOf(task.signal).toEqualTypeOf<AbortSignal>()
      return { at: task.input.toISOString() }
    },
  })

  test('when it is a task of an agent > it fits, whatever its types', () => {
    expectTypeOf({ backup }).toExtend<TaskMap>()
    const agent = createAgent({
      hubs: ['https://hub.example.com'],
      credential: memoryCredential(),
      tasks: { backup },
    })
    expect(agent.status().downlink).toBe('offline')
  })

  test('when its input is read back from its type > it is that of the schema', () => {
    expectTypeOf(backup.input).toEqualTypeOf<Schema<string, Date> | undefined>()
    expectTypeOf(backup.run).parameter(0).toEqualTypeOf<TaskContext<Date>>()
    expect(backup.verbs).toHaveProperty('since.idempotent', true)
  })
})

describe('given a definition without a schema', () => {
  test('when it is read > its input is unknown, and any JSON is a result', () => {
    const plain = defineTask({
      run(task) {
        expectTypeOf(task.input).toEqualTypeOf<unknown>()
        return [task.taskId]
      },
    })
    expectTypeOf(plain.run).returns.toExtend<Json | void | Promise<Json | void>>()
    expect(plain.verbs).toBeUndefined()
  })
})

describe('given what does not fit', () => {
  test('when it is written > the compiler says so', () => {
    // @ts-expect-error -- a result is JSON
    defineTask({ run: () => new Date() })
    // @ts-expect-error -- a schema's output is a Date, not a string
    defineTask({ input: asDate, run: (task: TaskContext<string>) => task.input })
    // @ts-expect-error -- there is no such choice
    defineTask({ onRestart: 'ignore', run: () => undefined })
    // @ts-expect-error -- the time limit is a number of milliseconds
    defineTask({ timeLimitMs: '1s', run: () => undefined })
    expect.assertions(0)
  })
})

test('given why a task was told to end > the reasons can be told apart', () => {
  const reasons: Error[] = [new CancelledError(), new TimedOutError(), new ShutdownError()]
  expect(reasons.map((reason) => reason instanceof CancelledError)).toEqual([true, true, false])
  expect(reasons.map((reason) => reason.name)).toEqual(['CancelledError', 'TimedOutError', 'ShutdownError'])
})
