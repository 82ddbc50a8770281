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
  type EnrollmentKeyRecord,
  type FeedEvent,
  type Json,
  type OperatorTokenRecord,
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
import type { OperatorClient, TaskHandle } from './operator-client.ts'
import { sendRequest, type HubConnection, type HubRequest } from './hub-request.ts'
import {
  readAgent,
  readAuditEntry,
  readControl,
  readCreatedToken,
  readEnrollmentKey,
  readEnrollmentKeyRecord,
  readLog,
  readNudgeReply,
  readOperatorToken,
  readTask,
  type CreatedOperatorToken,
  type EnrollmentKey,
} from './replies.ts'
import type { TaskKinds } from './task-types.ts'
import { askFor, askPages, defined, freshKey, listPages } from './typed-request.ts'

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

  enrollmentKeys(options: { signal?: AbortSignal } = {}): AsyncIterable<EnrollmentKeyRecord> {
    return this.#list('/enrollment-keys', {}, readEnrollmentKeyRecord, options.signal)
  }

  async revokeEnrollmentKey(id: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    await sendRequest(this.#connection, {
      method: 'DELETE',
      path: `/enrollment-keys/${encodeURIComponent(id)}`,
      signal: options.signal,
    })
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
