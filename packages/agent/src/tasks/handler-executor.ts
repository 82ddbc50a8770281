/** Runs tasks that an application defined as handlers: checks input and verb arguments against their schemas. */
import { DownlinkError, type Json } from '@downlink/protocol'
import type { StandardSchemaV1 as Schema } from '@standard-schema/spec'
import type { TaskExecutor } from './executor.ts'
import { startHandler } from './handler-run.ts'
import { timeLimitOf } from './time-limit.ts'
import type { OnRestart, TaskContext } from './task.ts'

/** Any task definition, whatever its input and verbs. */
export interface AnyTaskDefinition {
  readonly input?: Schema | undefined
  readonly timeLimitMs?: number
  readonly onRestart?: OnRestart
  readonly verbs?: Readonly<Record<string, AnyVerbDefinition>>
  run(task: TaskContext<never>): Json | void | Promise<Json | void>
}

/** Any verb definition, whatever its arguments. */
export interface AnyVerbDefinition {
  /** A Standard Schema; its type is lost where a verb without one stands beside others. */
  readonly args?: unknown
  readonly idempotent?: boolean
  apply(args: never, task: TaskContext<never>): void | Promise<void>
}

/**
 * The executor of one task definition.
 * @throws TypeError if `timeLimitMs` is no number of milliseconds.
 */
export function createHandlerExecutor(definition: AnyTaskDefinition): TaskExecutor {
  const verbOf = (action: string): AnyVerbDefinition | undefined =>
    definition.verbs !== undefined && Object.hasOwn(definition.verbs, action)
      ? definition.verbs[action]
      : undefined
  const { onRestart = 'restart' } = definition
  return {
    ...timeLimitOf(definition),
    onRestart,
    deliveryOf(action) {
      const verb = verbOf(action)
      return verb && (verb.idempotent === true ? 'atLeastOnce' : 'atMostOnce')
    },
    start: (start) =>
      startHandler<never>({
        start,
        keepsStart: onRestart === 'fail',
        input: () =>
          validate(definition.input, start.input, 'bad_input', `The input of task ${start.taskId}`),
        run: (context) => definition.run(context),
        async applyVerb(action, args, context) {
          const verb = verbOf(action)
          if (verb === undefined) {
            throw new DownlinkError('unsupported', `Tasks of kind ${start.kind} have no verb ${action}.`)
          }
          await verb.apply(
            await validate(verb.args as Schema | undefined, args, 'bad_args', `The arguments of ${action}`),
            context,
          )
        },
      }),
    // A handler lives in the agent's own process: nothing of it outlives the agent.
    reap: () => Promise.resolve(),
  }
}

/** The value as its schema makes it; `never` because only the schema knows its type. */
async function validate(
  schema: Schema | undefined,
  value: Json,
  code: 'bad_input' | 'bad_args',
  what: string,
): Promise<never> {
  if (schema === undefined) return value as never
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value as never
  const issues = result.issues.slice(0, 5).map((issue) => {
    const path = (issue.path ?? [])
      .map((part) => String(typeof part === 'object' ? part.key : part))
      .join('.')
    return path === '' ? issue.message : `${path}: ${issue.message}`
  })
  throw new DownlinkError(code, `${what} does not fit: ${issues.join('; ')}`)
}
