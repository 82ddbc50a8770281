/** What a client is told by an agent's definitions; the compiler is the test, and `npm run check` runs it. */
import { defineTask, processTask, type TaskMap } from '@downlink/agent'
import type { ControlRecord, Json, TaskRecord } from '@downlink/protocol'
import type { StandardSchemaV1 as Schema } from '@standard-schema/spec'
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { OperatorClient, TaskHandle, TaskInput, TaskResult, TaskVerb, VerbArgs } from './index.ts'

/** The program is not run: that it compiles is the test. */
const compiled = (program: () => unknown): void => expect(program).toBeTypeOf('function')

declare const input: Schema<{ path: string; since?: string }, { path: string; since: Date }>
declare const rate: Schema<string, number>

/** What a daemon exports as `tasks`. */
const defineAll = () => ({
  backup: defineTask({
    input,
    verbs: {
      limit: { args: rate, apply: (mbps) => expectTypeOf(mbps).toEqualTypeOf<number>() as unknown as void },
      flush: { apply: () => undefined },
    },
    async run(task) {
      expectTypeOf(task.input.since).toEqualTypeOf<Date>()
      return { files: 3, names: [task.taskId] }
    },
  }),
  tidy: defineTask({ async run() {} }),
  maybe: defineTask({ run: ({ paused }) => (paused ? null : 'done') }),
  archive: processTask({ command: ['/usr/bin/tar'] }),
})
type Tasks = ReturnType<typeof defineAll>
declare const typed: OperatorClient<Tasks>
declare const untyped: OperatorClient

describe('given the type of the tasks of an agent', () => {
  test('when they are given to an agent > they fit, as they did', () => {
    expectTypeOf<Tasks>().toExtend<TaskMap>()
  })

  test('when their parts are named > they are what is sent and what comes back', () => {
    expectTypeOf<TaskInput<Tasks['backup']>>().toEqualTypeOf<{ path: string; since?: string }>()
    expectTypeOf<TaskInput<Tasks['tidy']>>().toEqualTypeOf<Json>()
    expectTypeOf<TaskInput<Tasks['archive']>>().toEqualTypeOf<Json>()
    expectTypeOf<TaskVerb<Tasks['backup']>>().toEqualTypeOf<
      'cancel' | 'pause' | 'resume' | 'limit' | 'flush'
    >()
    expectTypeOf<TaskVerb<Tasks['tidy']>>().toEqualTypeOf<'cancel' | 'pause' | 'resume'>()
    expectTypeOf<TaskVerb<Tasks['archive']>>().toEqualTypeOf<string>()
    expectTypeOf<VerbArgs<Tasks['backup'], 'limit'>>().toEqualTypeOf<string>()
    expectTypeOf<VerbArgs<Tasks['backup'], 'flush'>>().toEqualTypeOf<Json>()
    expectTypeOf<TaskResult<Tasks['backup']>>().toEqualTypeOf<{ files: number; names: string[] }>()
    expectTypeOf<TaskResult<Tasks['tidy']>>().toEqualTypeOf<undefined>()
    expectTypeOf<TaskResult<Tasks['maybe']>>().toEqualTypeOf<'done' | null>()
    expectTypeOf<TaskResult<Tasks['archive']>>().toEqualTypeOf<Json>()
  })

  test('when calls fit > they compile, and a handle knows its kind', () => {
    compiled(async () => {
      const backup = await typed.start('a1', 'backup', { path: '/srv' }, { taskId: 't1' })
      expectTypeOf(backup).toEqualTypeOf<TaskHandle<Tasks['backup']>>()
      expectTypeOf(await backup.control('limit', '10')).toEqualTypeOf<ControlRecord>()
      await backup.control('limit', '10', { until: 'applied' })
      await backup.control('flush')
      await backup.control('cancel', undefined, { until: 'observed' })
      const { result, state } = await backup.read()
      expectTypeOf(result).toEqualTypeOf<{ files: number; names: string[] } | undefined>()
      expectTypeOf(state).toEqualTypeOf<TaskRecord['state']>()
      await typed.start('a1', 'tidy')
      await typed.start('a1', 'archive', { any: ['json'] })
      await typed.task('a1', 't2', 'backup').control('limit', '1')
      // Of what kind it is was not said, so anything goes.
      await typed.task('a1', 't2').control('whatever', [1])
    })
  })

  test('when calls do not fit > the compiler says so', () => {
    compiled(async () => {
      // @ts-expect-error -- there is no such kind
      await typed.start('a1', 'restore')
      // @ts-expect-error -- it needs its input
      await typed.start('a1', 'backup')
      // @ts-expect-error -- the input is what the schema takes, not what it makes
      await typed.start('a1', 'backup', { path: '/srv', since: new Date() })
      // @ts-expect-error -- there is no such option
      await typed.start('a1', 'tidy', null, { id: 't1' })
      const backup = typed.task('a1', 't1', 'backup')
      // @ts-expect-error -- there is no such verb
      await backup.control('speed', '10')
      // @ts-expect-error -- it needs its arguments
      await backup.control('limit')
      // @ts-expect-error -- the arguments are what the schema takes
      await backup.control('limit', 10)
      // @ts-expect-error -- there is no such kind
      typed.task('a1', 't1', 'restore')
    })
  })

  test('when a function takes any client > it takes this one', () => {
    compiled(() => {
      const agentsOf = (client: Pick<OperatorClient, 'agents' | 'tasks' | 'control'>): unknown => client
      return agentsOf(typed)
    })
    expectTypeOf<OperatorClient<Tasks>>().toExtend<OperatorClient>()
    expectTypeOf<TaskHandle<Tasks['backup']>>().toExtend<TaskHandle>()
  })
})

describe('given no type of tasks', () => {
  test('when calls are made > any kind, verb and JSON goes, as ever', () => {
    compiled(async () => {
      const task = await untyped.start('a1', 'anything', { any: ['json'] }, { taskId: 't1' })
      expectTypeOf(task).toEqualTypeOf<TaskHandle>()
      await untyped.start('a1', 'anything')
      await task.control('speed', { perSecond: 5 }, { ttlMs: 1_000 })
      await task.control('flush')
      expectTypeOf(await task.read()).toEqualTypeOf<TaskRecord>()
      expectTypeOf(untyped.task('a1', 't1')).toEqualTypeOf<TaskHandle>()
      // @ts-expect-error -- a date is no JSON
      await untyped.start('a1', 'anything', new Date())
    })
  })
})
