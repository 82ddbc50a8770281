/** The operators' client: typed calls of the operator API, safe to repeat. */
import {
  delay,
  DownlinkError,
  isStateVerb,
  limits,
  systemClock,
  systemRandom,
  type AgentRecord,
  type ControlRecord,
  type Json,
  type StateVerb,
  type TaskRecord,
} from '@downlink/protocol'
import type {
  AgentFilter,
  ControlOptions,
  EnrollmentKeyOptions,
  OperatorClientOptions,
  WaitOptions,
} from './client-options.ts'
import { controlReached } from './control-wait.ts'
import { sendRequest, type HubConnection, type HubRequest } from './hub-request.ts'
import { parseHubUrl } from './hub-url.ts'
import {
  readAgent,
  readControl,
  readEnrollmentKey,
  readLog,
  readPage,
  readTask,
  type EnrollmentKey,
  type TaskLog,
} from './replies.ts'
import { badReplyError } from './reply-error.ts'

/** One task of one agent; making a handle asks nobody whether it exists. */
export interface TaskHandle extends Record<StateVerb, (options?: ControlOptions) => Promise<ControlRecord>> {
  readonly agentId: string
  readonly taskId: string
  /** Issues any verb. Resolves with the control as it stood when `until` was reached, could no longer be, or the time was up. */
  control(verb: string, args?: Json, options?: ControlOptions): Promise<ControlRecord>
  log(options?: { readonly signal?: AbortSignal }): Promise<TaskLog>
}

/**
 * What an operator can ask of a hub.
 *
 * Every call may throw HttpError (the hub refused), DownlinkError `hub_unreachable`, `reply_timeout`, `reply_too_large` or
 * `bad_reply`, and the reason of its signal. Connection errors, 408, 429, 502, 503 and 504 are tried again before that.
 */
export interface OperatorClient {
  readonly url: URL
  /** Pages by itself. */
  agents(filter?: AgentFilter): AsyncIterable<AgentRecord>
  agent(agentId: string, options?: { readonly signal?: AbortSignal }): Promise<AgentRecord>
  /** Pages by itself. */
  tasks(agentId: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<TaskRecord>
  /** Assigns a task; the agent starts it with its next sync. Resolves once the hub has it for good. */
  start(
    agentId: string,
    kind: string,
    input?: Json,
    options?: { readonly taskId?: string; readonly idempotencyKey?: string; readonly signal?: AbortSignal },
  ): Promise<TaskHandle>
  task(agentId: string, taskId: string): TaskHandle
  /** A control as it stands; with `until`, as it stood when that was reached, could no longer be, or the time was up. */
  control(controlId: string, options?: WaitOptions): Promise<ControlRecord>
  /** Pages by itself. */
  controls(agentId: string, options?: { readonly signal?: AbortSignal }): AsyncIterable<ControlRecord>
  createEnrollmentKey(options?: EnrollmentKeyOptions): Promise<EnrollmentKey>
  /** Asks the agent to sync now. */
  nudge(agentId: string, options?: { readonly signal?: AbortSignal }): Promise<void>
}

/**
 * Makes a client; nothing is sent yet.
 * @throws DownlinkError `bad_hub_url`, `insecure_hub` or `bad_token`.
 */
export function createOperatorClient(options: OperatorClientOptions): OperatorClient {
  // A line end in a header makes fetch throw an error that shows the header.
  if (!/^[\x21-\x7e]{1,4096}$/.test(options.token)) {
    throw new DownlinkError(
      'bad_token',
      'The operator token is empty or has characters that no token has. Check where it was read from.',
      { retry: 'never' },
    )
  }
  return new HubOperatorClient({
    base: parseHubUrl(options.url, options.allowPlainHttp ?? false),
    token: options.token,
    // Unbound, as browsers insist on the global as `this`.
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  })
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
    const { status, signal } = filter
    return this.#list('/agents', { status }, readAgent, signal)
  }

  agent(agentId: string, options: { signal?: AbortSignal } = {}): Promise<AgentRecord> {
    return this.#ask({ method: 'GET', path: agentPath(agentId), signal: options.signal }, readAgent)
  }

  tasks(agentId: string, options: { signal?: AbortSignal } = {}): AsyncIterable<TaskRecord> {
    return this.#list(`${agentPath(agentId)}/tasks`, {}, readTask, options.signal)
  }

  async start(
    agentId: string,
    kind: string,
    input?: Json,
    options: { taskId?: string; idempotencyKey?: string; signal?: AbortSignal } = {},
  ): Promise<TaskHandle> {
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
      log: ({ signal } = {}) =>
        this.#ask({ method: 'GET', path: `${taskPath(agentId, taskId)}/log`, signal }, readLog),
    }
  }

  control(controlId: string, options: WaitOptions = {}): Promise<ControlRecord> {
    const deadlineMs = this.#deadlineMs(options)
    const path = `/controls/${encodeURIComponent(controlId)}`
    return this.#awaitControl({ method: 'GET', path }, options, deadlineMs, undefined)
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

  async nudge(agentId: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    await sendRequest(this.#connection, {
      method: 'POST',
      path: `${agentPath(agentId)}/sync`,
      body: {},
      idempotencyKey: freshKey(),
      signal: options.signal,
    })
  }

  #issue(issue: Issue, options: ControlOptions = {}): Promise<ControlRecord> {
    const { ttlMs, idempotencyKey = freshKey() } = options
    const { agentId, taskId, action, args } = issue
    const body = { action, taskId, ...defined('args', args), ...defined('ttlMs', ttlMs) }
    const path = `${agentPath(agentId)}/controls`
    const deadlineMs = this.#deadlineMs(options)
    return this.#awaitControl({ method: 'POST', path, body, idempotencyKey }, options, deadlineMs, action)
  }

  /**
   * Sends `first`, then asks by the control's id again, as the hub holds one request no longer than `WAIT_MS_MAX`.
   * @param action - the verb, if it is known: only state verbs are ever observed, others are awaited until applied.
   */
  async #awaitControl(
    first: HubRequest,
    options: WaitOptions,
    deadlineMs: number,
    action: string | undefined,
  ): Promise<ControlRecord> {
    const { until = 'accepted', signal } = options
    const { clock, random } = this.#connection
    const waitMs = (): number =>
      Math.ceil(Math.min(limits.WAIT_MS_MAX, Math.max(0, deadlineMs - clock.monotonicMs())))
    let request = first
    let verb = action
    for (;;) {
      const askedAtMs = clock.monotonicMs()
      // Without the verb the first look does not wait: it is there to learn it.
      const isWaiting = until !== 'accepted' && verb !== undefined
      const shownUntil = until === 'observed' && verb !== undefined && !isStateVerb(verb) ? 'applied' : until
      const query = (): Record<string, string> =>
        isWaiting && waitMs() > 0 ? { wait: `${waitMs()}ms`, until: shownUntil } : {}
      const askedMs = isWaiting ? waitMs() : 0
      const record = await this.#ask({ ...request, query, waitMs: askedMs, signal }, readControl)
      if (controlReached(record, until) !== 'not-yet' || waitMs() === 0) return record
      const restMs = limits.CLIENT_WAIT_AGAIN_MS * (1 + random())
      if (clock.monotonicMs() - askedAtMs < Math.min(askedMs, limits.CLIENT_WAIT_AGAIN_MS)) {
        await delay(clock, Math.min(waitMs(), restMs), signal)
      }
      verb = record.action
      request = { method: 'GET', path: `/controls/${encodeURIComponent(record.controlId)}` }
    }
  }

  #deadlineMs(options: WaitOptions): number {
    const { until = 'accepted', timeoutMs = limits.CLIENT_WAIT_MS_DEFAULT } = options
    return this.#connection.clock.monotonicMs() + (until === 'accepted' ? 0 : timeoutMs)
  }

  async #ask<T>(request: HubRequest, read: (json: Json) => T | undefined): Promise<T> {
    const reply = read(await sendRequest(this.#connection, request))
    if (reply === undefined) throw this.#badReply(request, 'not with what was asked for')
    return reply
  }

  async *#list<T>(
    path: string,
    filter: Readonly<Record<string, string | undefined>>,
    read: (item: Json) => T | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<T> {
    let cursor: string | undefined
    do {
      const asked = cursor
      const request: HubRequest = {
        method: 'GET',
        path,
        query: () => ({ ...filter, cursor: asked }),
        signal,
      }
      const page = await this.#ask(request, (json) => readPage(json, read))
      yield* page.items
      cursor = page.nextCursor
      // Else a faulty hub would keep its client busy for ever.
      if (cursor !== undefined && cursor === asked) throw this.#badReply(request, 'with the same page again')
    } while (cursor !== undefined)
  }

  #badReply(request: HubRequest, fault: string): DownlinkError {
    return badReplyError(`${request.method} /api/v1${request.path} at ${this.#connection.base.host}`, fault)
  }
}

function agentPath(agentId: string): string {
  return `/agents/${encodeURIComponent(agentId)}`
}

function taskPath(agentId: string, taskId: string): string {
  return `${agentPath(agentId)}/tasks/${encodeURIComponent(taskId)}`
}

/** The member `name`, left out when there is no value: `exactOptionalPropertyTypes` tells the two apart. */
function defined(name: string, value: Json | undefined): { readonly [key: string]: Json } {
  return value === undefined ? {} : { [name]: value }
}

function freshKey(): string {
  return globalThis.crypto.randomUUID()
}
