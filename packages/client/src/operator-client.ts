/** The operators' client: typed calls of the operator API, safe to repeat. */
import {
  DownlinkError,
  parseHubUrl,
  systemClock,
  systemRandom,
  type AgentControlRequest,
  type AgentRecord,
  type AuditEntry,
  type BatchControlResult,
  type ControlRecord,
  type FeedEvent,
  type Json,
  type OperatorTokenRecord,
  type StateVerb,
  type TaskRecord,
} from '@downlink/protocol'
import { awaitControl, controlPath } from './await-control.ts'
import { sendBroadcast, sendItems, type Broadcast } from './batches.ts'
import type {
  AgentFilter,
  AuditFilter,
  BatchOptions,
  ControlOptions,
  EnrollmentKeyOptions,
  FeedOptions,
  NudgeFilter,
  OperatorClientOptions,
  OperatorTokenOptions,
  StartOptions,
  WaitOptions,
} from './client-options.ts'
import { readFeed } from './feed.ts'
import { sendRequest, type HubConnection, type HubRequest } from './hub-request.ts'
import {
  readAgent,
  readAuditEntry,
  readControl,
  readCreatedToken,
  readEnrollmentKey,
  readLog,
  readNudgeReply,
  readOperatorToken,
  readTask,
  type CreatedOperatorToken,
  type EnrollmentKey,
  type TaskLog,
} from './replies.ts'
import type { Given, TaskInput, TaskKinds, TaskVerb, TaskRecordOf, VerbArgs } from './task-types.ts'
import { askFor, askPages, defined, freshKey, listPages } from './typed-request.ts'

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
   * come as they were then, agents and tasks as they are now. After `reset` read the listings again.
   */
  events(options?: FeedOptions): AsyncIterable<FeedEvent>
  /** Who did what, and what became of it, oldest first, as long as the hub keeps it. Pages by itself. */
  audit(filter?: AuditFilter): AsyncIterable<AuditEntry>
  createEnrollmentKey(options?: EnrollmentKeyOptions): Promise<EnrollmentKey>
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

/**
 * Makes a client; nothing is sent yet.
 * @throws DownlinkError `bad_hub_url`, `insecure_hub` or `bad_token`.
 */
export function createOperatorClient<T extends TaskKinds = TaskKinds>(
  options: OperatorClientOptions,
): OperatorClient<T> {
  // A line end in a header makes fetch throw an error that shows the header.
  if (!/^[\x21-\x7e]{1,4096}$/.test(options.token)) {
    throw new DownlinkError(
      'bad_token',
      'The operator token is empty or has characters that no token has. Check where it was read from.',
      { retry: 'never' },
    )
  }
  const client: OperatorClient = new HubOperatorClient({
    base: parseHubUrl(options.url, options.allowPlainHttp ?? false, 'the token'),
    token: options.token,
    // Unbound, as browsers insist on the global as `this`.
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  })
  // The same calls; what T tells of an agent's tasks is the word of whoever made it.
  return client as OperatorClient<T>
}

interface Issue {
  readonly agentId: string
  readonly taskId: string
  readonly action: string
  readonly args: Json | undefined
}

class HubOperatorClient implements OperatorClient {
  readonly url: URL
  readonly #connection: HubConnection

  constructor(connection: HubConnection) {
    this.#connection = connection
    this.url = connection.base
  }

  agents(filter: AgentFilter = {}): AsyncIterable<AgentRecord> {
    const { status, label, signal } = filter
    return this.#list('/agents', { status, label }, readAgent, signal)
  }

  agent(agentId: string, options: { signal?: AbortSignal } = {}): Promise<AgentRecord> {
    return this.#ask({ method: 'GET', path: agentPath(agentId), signal: options.signal }, readAgent)
  }

  tasks(agentId: string, options: { signal?: AbortSignal } = {}): AsyncIterable<TaskRecord> {
    return this.#list(`${agentPath(agentId)}/tasks`, {}, readTask, options.signal)
  }

  async start(agentId: string, kind: string, input?: Json, options: StartOptions = {}): Promise<TaskHandle> {
    const { taskId, idempotencyKey = freshKey(), signal } = options
    const body = { kind, ...defined('input', input), ...defined('taskId', taskId) }
    const task = await this.#ask(
      { method: 'POST', path: `${agentPath(agentId)}/tasks`, body, idempotencyKey, signal },
      readTask,
    )
    return this.task(agentId, task.taskId)
  }

  task(agentId: string, taskId: string): TaskHandle {
    const issue = (
      action: string,
      args: Json | undefined,
      options?: ControlOptions,
    ): Promise<ControlRecord> => this.#issue({ agentId, taskId, action, args }, options)
    return {
      agentId,
      taskId,
      cancel: (options) => issue('cancel', undefined, options),
      pause: (options) => issue('pause', undefined, options),
      resume: (options) => issue('resume', undefined, options),
      control: (verb, args, options) => issue(verb, args, options),
      read: ({ signal } = {}) =>
        this.#ask({ method: 'GET', path: taskPath(agentId, taskId), signal }, readTask),
      log: ({ signal } = {}) =>
        this.#ask({ method: 'GET', path: `${taskPath(agentId, taskId)}/log`, signal }, readLog),
    }
  }

  control(controlId: string, options: WaitOptions = {}): Promise<ControlRecord> {
    return awaitControl(this.#connection, { method: 'GET', path: controlPath(controlId) }, options, undefined)
  }

  controls(agentId: string, options: { signal?: AbortSignal } = {}): AsyncIterable<ControlRecord> {
    return this.#list(`${agentPath(agentId)}/controls`, {}, readControl, options.signal)
  }

  createEnrollmentKey(options: EnrollmentKeyOptions = {}): Promise<EnrollmentKey> {
    const { uses, ttlMs, labels, agentId, signal } = options
    const body = {
      ...defined('uses', uses),
      ...defined('ttlMs', ttlMs),
      ...defined('labels', labels),
      ...defined('agentId', agentId),
    }
    return this.#ask(
      { method: 'POST', path: '/enrollment-keys', body, idempotencyKey: freshKey(), signal },
      readEnrollmentKey,
    )
  }

  createOperatorToken({ signal, ...token }: OperatorTokenOptions): Promise<CreatedOperatorToken> {
    const { name, scopes, ttlMs } = token
    const body = { name, scopes, ...defined('ttlMs', ttlMs) }
    return this.#ask(
      { method: 'POST', path: '/operator-tokens', body, idempotencyKey: freshKey(), signal },
      readCreatedToken,
    )
  }

  operatorTokens(options: { signal?: AbortSignal } = {}): AsyncIterable<OperatorTokenRecord> {
    return this.#list('/operator-tokens', {}, readOperatorToken, options.signal)
  }

  async revokeOperatorToken(id: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    await sendRequest(this.#connection, {
      method: 'DELETE',
      path: `/operator-tokens/${encodeURIComponent(id)}`,
      signal: options.signal,
    })
  }

  rotateKey(agentId: string, options: { signal?: AbortSignal } = {}): Promise<AgentRecord> {
    return this.#ask(
      {
        method: 'POST',
        path: `${agentPath(agentId)}/rotate-key`,
        idempotencyKey: freshKey(),
        signal: options.signal,
      },
      readAgent,
    )
  }

  async revokeAgent(agentId: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    await sendRequest(this.#connection, {
      method: 'DELETE',
      path: agentPath(agentId),
      signal: options.signal,
    })
  }

  async nudge(agentId: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    await sendRequest(this.#connection, {
      method: 'POST',
      path: `${agentPath(agentId)}/sync`,
      idempotencyKey: freshKey(),
      signal: options.signal,
    })
  }

  async nudgeAll({ status, label, withinMs, signal }: NudgeFilter = {}): Promise<number> {
    const selector = { ...defined('status', status), ...defined('label', label) }
    const body = { selector, ...defined('withinMs', withinMs) }
    const replies = askPages(
      this.#connection,
      (cursor) => ({
        method: 'POST',
        path: '/sync',
        body: { ...body, ...defined('cursor', cursor) },
        signal,
      }),
      readNudgeReply,
    )
    let nudged = 0
    for await (const reply of replies) nudged += reply.nudged
    return nudged
  }

  broadcast(broadcast: Broadcast, options: BatchOptions = {}): AsyncIterable<BatchControlResult> {
    return sendBroadcast(this.#connection, broadcast, options)
  }

  issueAll(
    items: readonly AgentControlRequest[],
    options: BatchOptions = {},
  ): Promise<readonly BatchControlResult[]> {
    return sendItems(this.#connection, items, options)
  }

  events(options: FeedOptions = {}): AsyncIterable<FeedEvent> {
    return readFeed(this.#connection, options)
  }

  audit(filter: AuditFilter = {}): AsyncIterable<AuditEntry> {
    const { agentId, controlId, since, after, signal } = filter
    const query = { agentId, controlId, since: since?.toISOString() }
    // A fact's id is a place to go on from, as a page's cursor is.
    return listPages(
      this.#connection,
      (cursor = after) => ({ method: 'GET', path: '/audit', query: () => ({ ...query, cursor }), signal }),
      readAuditEntry,
    )
  }

  #issue(issue: Issue, options: ControlOptions = {}): Promise<ControlRecord> {
    const { ttlMs, idempotencyKey = freshKey() } = options
    const { agentId, taskId, action, args } = issue
    const body = { action, taskId, ...defined('args', args), ...defined('ttlMs', ttlMs) }
    const path = `${agentPath(agentId)}/controls`
    const request: HubRequest = { method: 'POST', path, body, idempotencyKey }
    return awaitControl(this.#connection, request, options, action)
  }

  #ask<T>(request: HubRequest, read: (json: Json) => T | undefined): Promise<T> {
    return askFor(this.#connection, request, read)
  }

  #list<T>(
    path: string,
    filter: Readonly<Record<string, string | undefined>>,
    read: (item: Json) => T | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<T> {
    return listPages(
      this.#connection,
      (cursor) => ({ method: 'GET', path, query: () => ({ ...filter, cursor }), signal }),
      read,
    )
  }
}

function agentPath(agentId: string): string {
  return `/agents/${encodeURIComponent(agentId)}`
}

function taskPath(agentId: string, taskId: string): string {
  return `${agentPath(agentId)}/tasks/${encodeURIComponent(taskId)}`
}
