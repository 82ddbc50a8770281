/** What an agent's definitions of its tasks tell an operator's program: types only. */
import type { Json, StateVerb, TaskRecord } from '@downlink/protocol'

/**
 * Kinds of task by name, as `createAgent` of @downlink/agent takes them: `createOperatorClient<typeof tasks>`. This one, which is
 * what a client has that was told nothing, knows of none: any kind and any verb is allowed, with any JSON.
 */
export type TaskKinds = Readonly<Record<string, object>>

/** Told by what every definition has, so that something else, such as a command, is not taken for one without input and verbs. */
interface Definition {
  run(task: never): unknown
}

/** What any Standard Schema has. */
interface Schema<I> {
  readonly '~standard': { readonly types?: { readonly input: I } | undefined }
}

/** What a schema takes; any JSON where there is none. */
type SchemaInput<S> = [S] extends [never] ? Json : S extends Schema<infer I> ? I : Json

/** The type of a member that may be left out, `never` if it is; without `exactOptionalPropertyTypes` such a type has undefined in it. */
type Member<D, K extends string> = D extends { readonly [N in K]?: infer M } ? Exclude<M, undefined> : never

/** The input of a kind of task as it is sent, before its schema makes something of it. */
export type TaskInput<D> = D extends Definition ? SchemaInput<Member<D, 'input'>> : Json

/** What a kind of task leaves when it completes; undefined for one that returns nothing. */
export type TaskResult<D> = D extends { run(task: never): infer R } ? Kept<Awaited<R>> : Json
type Kept<R> = R extends void ? undefined : R

type Verbs<D> = Member<D, 'verbs'>

/** The verbs of a kind of task, cancel, pause and resume among them. */
export type TaskVerb<D> = D extends Definition ? StateVerb | (keyof Verbs<D> & string) : string

/** The arguments of a verb as they are sent, before its schema makes something of them. */
export type VerbArgs<D, A extends string> = D extends Definition
  ? A extends keyof Verbs<D>
    ? SchemaInput<Member<Verbs<D>[A], 'args'>>
    : Json
  : Json

/** A value that must be given, unless any JSON will do. */
export type Given<Value, Options> = [Json] extends [Value]
  ? [value?: Value, options?: Options]
  : [value: Value, options?: Options]

/** A task of a kind, as operators see it. */
export type TaskRecordOf<D> = D extends Definition
  ? Omit<TaskRecord, 'result'> & { readonly result?: TaskResult<D> }
  : TaskRecord
