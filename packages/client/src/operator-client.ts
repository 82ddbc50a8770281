/** What an operator's program can ask of a hub. */
import type {
  AgentControlRequest,
  AgentRecord,
  AuditEntry,
  BatchControlResult,
  ControlRecord,
  EnrollmentKeyRecord,
  FeedEvent,
  OperatorTokenRecord,
  StateVerb,
  TaskRecord,
} from '@downlink/protocol'
import type { Broadcast } from './batches.ts'
import type {
  AgentFilter,
  AuditFilter,
  BatchOptions,
  ControlOptions,
  EnrollmentKeyOptions,
  FeedOptions,
  NudgeFilter,
  OperatorTokenOptions,
  StartOptions,
  WaitOptions,
} from './client-options.ts'
import type { CreatedOperatorToken, EnrollmentKey, TaskLog } from './replies.ts'
import type { Given, TaskInput, TaskKinds, TaskVerb, TaskRecordOf, VerbArgs } from './task-types.ts'

/** One task of one agent; making a handle asks nobody whether it exists. @typeParam D - the task's definition, if it is known. */
export interface TaskHandle<D = object> extends Record<
  StateVerb,
  (options?: ControlOptions) => Promise<ControlRecord>
> {
  readonly agentId: string
  readonly taskId: string
  /** Issues any verb. Resolves with the control as it stood when `until` was reached, could no longer be, or the time was up. */
  control<A extends TaskVerb<D>>(
    verb: A,
    ...argsAndOptions: Given<VerbArgs<D, A>, ControlOptions>
  ): Promise<ControlRecord>
  /** The task as its agent last reported it. */
  read(options?: { readonly signal?: AbortSignal }): Promise<TaskRecordOf<D>>
  log(options?: { readonly signal?: AbortSignal }): Promise<TaskLog>
}

/**
 * What an operator can ask of a hub.
 *
 * Every call may throw HttpError (the hub refused), DownlinkError `hub_unreachable`, `reply_timeout`, `reply_too_large` or
 * `bad_reply`, and the reason of its signal. Connection errors, 408, 429, 502, 503 and 504 are tried again before that.
 *
 * @typeParam T - the agents' tasks, `typeof tasks`: then kinds, inputs, verbs, arguments and results have their types. Nothing
 * is checked by them at run time; that is done where the agent validates what comes.
 */
export interface OperatorClient<T extends TaskKinds = TaskKinds> {
  readonly url: URL
  /** Pages by itself. */
  agents(filter?: AgentFilter): AsyncIterable<AgentRecord>
  agent(agentId: string, options?: { readonly signal?: AbortSignal }): Promise<AgentRecord>
  /** Pages by itself. */
  tasks(agentId: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<TaskRecord>
  /** Assigns a task; the agent starts it with its next sync. Resolves once the hub has it for good. */
  start<K extends keyof T & string>(
    agentId: string,
    kind: K,
    ...inputAndOptions: Given<TaskInput<T[K]>, StartOptions>
  ): Promise<TaskHandle<T[K]>>
  task(agentId: string, taskId: string): TaskHandle
  /** @param kind - what the task is, for the types only. */
  task<K extends keyof T & string>(agentId: string, taskId: string, kind: K): TaskHandle<T[K]>
  /** A control as it stands; with `until`, as it stood when that was reached, could no longer be, or the time was up. */
  control(controlId: string, options?: WaitOptions): Promise<ControlRecord>
  /** Pages by itself. */
  controls(agentId: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<ControlRecord>
  /**
   * Issues one control to every agent that is meant, in the order of their ids, a page at a time: what is not read is not sent.
   * A refusal of one is in its result and keeps nothing from the others.
   */
  broadcast(broadcast: Broadcast, options?: BatchOptions): AsyncIterable<BatchControlResult>
  /** Issues distinct controls, many in one request; results stand in the order of the items. */
  issueAll(
    items: readonly AgentControlRequest[],
    options?: BatchOptions,
  ): Promise<readonly BatchControlResult[]>
  /**
   * What happens to controls, tasks and agents, as it happens; resumes by itself. Keep the last record of each: controls
   * come as they were then, agents and tasks as they are now, agents also when only their presence changed. Without
   * `after` it begins with `begin`: read the listings then, and again after `reset`, whose `reason` says why.
   */
  events(options?: FeedOptions): AsyncIterable<FeedEvent>
  /** Who did what, and what became of it, oldest first, as long as the hub keeps it. Pages by itself. */
  audit(filter?: AuditFilter): AsyncIterable<AuditEntry>
  createEnrollmentKey(options?: EnrollmentKeyOptions): Promise<EnrollmentKey>
  /** All enrollment keys that the hub keeps, without their secrets. Pages by itself. */
  enrollmentKeys(options?: { readonly signal?: AbortSignal }): AsyncIterable<EnrollmentKeyRecord>
  /** Nobody enrolls with it any more; agents that have stay. */
  revokeEnrollmentKey(id: string, options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Makes a token for an operator; its text is in the result, and nowhere else. */
  createOperatorToken(options: OperatorTokenOptions): Promise<CreatedOperatorToken>
  /** All tokens that were ever made, without their texts. Pages by itself. */
  operatorTokens(options?: { readonly signal?: AbortSignal }): AsyncIterable<OperatorTokenRecord>
  /** Refuses the token from now on, and ends what streams to its operator. */
  revokeOperatorToken(id: string, options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Has the agent replace its key; `keyRotation` of its record is gone once the new one is in use. */
  rotateKey(agentId: string, options?: { readonly signal?: AbortSignal }): Promise<AgentRecord>
  /** Ends the agent for good: no key of its holds any more, and what is open fails. */
  revokeAgent(agentId: string, options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Asks the agent to sync now. */
  nudge(agentId: string, options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Asks all agents that are meant to sync, each at a random time within a window. How many have a connection that carries it. */
  nudgeAll(filter?: NudgeFilter): Promise<number>
}
