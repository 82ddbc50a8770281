/** The agent: puts the downlink, the sync loop, the ledger and the tasks together. */
import {
  DownlinkError,
  isAgentId,
  limits,
  parseToken,
  systemClock,
  systemRandom,
  type Clock,
  type Control,
  type ControlState,
  type DownlinkEvent,
  type Random,
  type StateVerb,
} from '@downlink/protocol'
import { randomBytes, randomUUID } from 'node:crypto'
import { AgentEvents } from './agent-events.ts'
import { StatusBoard } from './agent-status.ts'
import { createBoot } from './boot.ts'
import { createAgentClient, type AgentClient } from './client.ts'
import type { EventStream } from './connection/event-stream.ts'
import { runDownlink } from './connection/supervisor.ts'
import { ControlLoop } from './controls/control-loop.ts'
import { createMemoryJournal, openJournal, type Journal } from './controls/journal.ts'
import type { Outcome } from './controls/ledger-records.ts'
import type { Ledger } from './controls/ledger.ts'
import { silentLogger } from './logger.ts'
import type { AgentEvent, AgentOptions, AgentStatus } from './options.ts'
import { SyncExchange } from './sync/exchange.ts'
import { SyncLoop } from './sync/loop.ts'
import type { TaskExecutor } from './tasks/executor.ts'
import { createHandlerExecutor } from './tasks/handler-executor.ts'
import { TaskRuntime } from './tasks/runtime.ts'
import type { TrackedTask } from './tasks/tracked-run.ts'

const CONCURRENCY_DEFAULT = 4

/** An agent: one long-lived object per daemon. */
export interface Agent extends AsyncDisposable {
  /**
   * Runs until `signal` aborts, then ends every task as unfinished, reports once more and resolves. Call it once.
   * @throws DownlinkError if it cannot start: no credential, no agent id, a hub URL that must not be dialled, or a
   * state directory that cannot be read.
   */
  run(options?: { readonly signal?: AbortSignal }): Promise<{ readonly reason: 'stopped' }>
  /**
   * Makes a task known that the application runs by itself.
   * @throws DownlinkError `task_exists`.
   */
  track(taskId: string, options?: { readonly kind?: string }): TrackedTask
  /**
   * A pause, resume or cancel made on this machine; it wins over everything that this agent had seen.
   * @throws DownlinkError `not_running` before `run`, or the code with which the task refused.
   */
  decide(taskId: string, action: StateVerb): Promise<void>
  status(): AgentStatus
  /** Asks for a sync soon. */
  syncNow(): void
  /** Calls `listener` for every event of `type`, until the returned value is disposed or `signal` aborts. */
  on<K extends AgentEvent['type']>(
    type: K,
    listener: (event: Extract<AgentEvent, { type: K }>) => void,
    options?: { readonly signal?: AbortSignal },
  ): Disposable
}

/**
 * Makes an agent; dials nothing before `run`.
 * @throws TypeError if not exactly one hub is given, or `concurrency` is not a whole number from 1 to 1,000.
 */
export function createAgent(options: AgentOptions): Agent {
  return new DownlinkAgent(options)
}

/** What exists while the agent runs. */
interface Running {
  readonly client: AgentClient
  readonly journal: Journal
  readonly controls: ControlLoop
  readonly sync: SyncLoop
}

class DownlinkAgent implements Agent {
  readonly #options: AgentOptions
  readonly #clock: Clock
  readonly #random: Random
  readonly #events: AgentEvents
  readonly #board: StatusBoard
  readonly #runtime: TaskRuntime
  readonly #stopped = new AbortController()
  /** Settles when `run` has opened the journal; what a tracked task wants kept before waits for it. */
  readonly #journal = Promise.withResolvers<Journal>()
  #ledger: Ledger | undefined
  #finished: Promise<{ reason: 'stopped' }> | undefined
  #running: Running | undefined
  #stream: EventStream | undefined

  constructor(options: AgentOptions) {
    const [hub, ...more] = options.hubs
    if (hub === undefined || more.length > 0) {
      throw new TypeError('createAgent needs exactly one hub URL in `hubs`; mirrors are not supported yet.')
    }
    const concurrency = options.concurrency ?? CONCURRENCY_DEFAULT
    if (!Number.isSafeInteger(concurrency) || concurrency < 1 || concurrency > limits.AGENT_TASKS_MAX) {
      throw new TypeError(`concurrency must be a whole number from 1 to ${limits.AGENT_TASKS_MAX}.`)
    }
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#events = new AgentEvents(options.logger ?? silentLogger)
    this.#board = new StatusBoard(new URL(hub), (status) => this.#events.emit({ type: 'status', status }))
    this.#journal.promise.catch(() => undefined)
    this.#runtime = new TaskRuntime({
      executors: this.#executors(),
      concurrency,
      clock: this.#clock,
      intendedState: (taskId) => this.#ledger?.intendedState(taskId) ?? 'running',
      keep: async (records) => (await this.#journal.promise).append(records),
      onChange: () => this.syncNow(),
      onTrouble: (error, message) => this.#events.log('error', { error }, message),
    })
  }

  run(options: { readonly signal?: AbortSignal } = {}): Promise<{ readonly reason: 'stopped' }> {
    if (this.#finished !== undefined) throw new TypeError('run may be called once; make another agent.')
    const signal =
      options.signal === undefined
        ? this.#stopped.signal
        : AbortSignal.any([options.signal, this.#stopped.signal])
    this.#finished = this.#run(signal)
    return this.#finished
  }

  track(taskId: string, options: { readonly kind?: string } = {}): TrackedTask {
    return this.#runtime.track(taskId, options.kind ?? 'tracked')
  }

  async decide(taskId: string, action: StateVerb): Promise<void> {
    const outcome = await this.#controls().decideLocally(taskId, action, `local~${randomUUID()}`)
    if (outcome.state === 'failed') throw new DownlinkError(outcome.code, outcome.message)
  }

  status(): AgentStatus {
    return this.#board.status
  }

  syncNow(): void {
    this.#running?.sync.want()
  }

  on<K extends AgentEvent['type']>(
    type: K,
    listener: (event: Extract<AgentEvent, { type: K }>) => void,
    options: { readonly signal?: AbortSignal } = {},
  ): Disposable {
    return this.#events.on(type, listener, options.signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped.abort()
    await this.#finished?.catch(() => undefined)
  }

  async #run(signal: AbortSignal): Promise<{ reason: 'stopped' }> {
    const running = await this.#start()
    this.#running = running
    const { client, controls, journal, sync } = running
    try {
      await this.#runtime.restore(journal.ledger.state.tasks.values())
      await controls.recover()
      await Promise.all([this.#followStream(client, sync, signal), sync.run(signal)])
    } finally {
      await controls.idle()
      await this.#runtime.stop()
      await sync.last()
      await client.close()
      await journal[Symbol.asyncDispose]()
    }
    return { reason: 'stopped' }
  }

  #followStream(client: AgentClient, sync: SyncLoop, signal: AbortSignal): Promise<void> {
    const { livenessMsMin } = this.#options
    return runDownlink({
      client,
      clock: this.#clock,
      random: this.#random,
      signal,
      onEvent: (event) => this.#onStreamEvent(event),
      onSyncWanted: () => sync.want(),
      onStatus: (status) => this.#board.connection(status),
      onStream: (stream) => {
        this.#stream = stream
      },
      ...(livenessMsMin === undefined ? {} : { livenessMsMin }),
    })
  }

  async #start(): Promise<Running> {
    try {
      const key = await this.#options.credential.read()
      const agentId = this.#identify(key)
      const journal = await this.#openJournal()
      const client = createAgentClient({
        hub: this.#board.status.hub,
        credential: () => key,
        boot: createBoot(randomBytes),
        clock: this.#clock,
        allowPlainHttp: this.#options.allowPlainHttp ?? false,
        journalId: () => journal.ledger.journalId,
      })
      this.#ledger = journal.ledger
      this.#journal.resolve(journal)
      return { client, journal, ...this.#assemble(agentId, client, journal) }
    } catch (error) {
      this.#journal.reject(error)
      throw error
    }
  }

  #identify(key: string | undefined): string {
    if (key === undefined) {
      throw new DownlinkError(
        'no_credential',
        'The agent has no credential yet; enroll it with an enrollment key first.',
      )
    }
    const agentId = this.#options.agentId ?? parseToken('agent', key)?.owner
    if (isAgentId(agentId)) return agentId
    throw new DownlinkError(
      'no_agent_id',
      'This credential names no agent; set `agentId` in the options of createAgent.',
    )
  }

  async #openJournal(): Promise<Journal> {
    const { stateDirectory } = this.#options
    if (stateDirectory === undefined) return createMemoryJournal()
    const journal = await openJournal(stateDirectory, this.#clock)
    if (journal.wasLost) {
      this.#events.log('warn', {}, 'the journal was damaged and put aside; earlier decisions are forgotten')
    }
    return journal
  }

  #assemble(agentId: string, client: AgentClient, journal: Journal): Pick<Running, 'controls' | 'sync'> {
    const runtime = this.#runtime
    const { name, version, labels, onControl } = this.#options
    const controls = new ControlLoop({
      journal,
      runtime,
      ...(onControl === undefined
        ? {}
        : { decideElsewhere: async (control: Control) => outcomeOf(await onControl(control)) }),
      onOutcome: (control, outcome) => this.#tellOutcome(control, outcome),
      onSyncWanted: () => sync.want(),
      onTrouble: (error, message) => this.#events.log('error', { error }, message),
    })
    const exchange = new SyncExchange({
      agentId,
      about: {
        ...(name === undefined ? {} : { name }),
        ...(version === undefined ? {} : { version }),
        ...(labels === undefined ? {} : { labels }),
      },
      clock: this.#clock,
      journal,
      runtime,
      controls,
      lastHeartbeat: () => this.#stream?.lastHeartbeat,
      onUpgrade: (to) => this.#events.emit({ type: 'upgrade', version: to }),
    })
    const sync = new SyncLoop({
      clock: this.#clock,
      random: this.#random,
      prepare: () => exchange.prepare(),
      send: (request, signal) => client.sync(request, { signal }),
      takeIn: (reply, request) => exchange.takeIn(reply, request),
      onSuccess: () => this.#board.syncAnswered(),
      onFailure: (error) => {
        this.#board.syncFailed(error)
        this.#events.log('warn', { error }, 'a sync failed; it is tried again')
      },
    })
    return { controls, sync }
  }

  #executors(): ReadonlyMap<string, TaskExecutor> {
    return new Map(
      Object.entries(this.#options.tasks ?? {}).map(([kind, task]) => [
        kind,
        'createExecutor' in task
          ? task.createExecutor(this.#clock)
          : createHandlerExecutor(task, this.#clock),
      ]),
    )
  }

  #onStreamEvent(event: DownlinkEvent): void {
    if (event.type === 'command') this.#running?.controls.deliver(event.controls, { kind: 'push' })
  }

  #tellOutcome(control: Control, outcome: Outcome): void {
    const state: ControlState =
      outcome.state === 'applied' ? { state: 'applied', confirmedBy: 'agent' } : outcome
    this.#events.emit({ type: 'control', control, outcome: state })
  }

  #controls(): ControlLoop {
    if (this.#running !== undefined) return this.#running.controls
    throw new DownlinkError('not_running', 'A decision needs a running agent; call run first.')
  }
}

/** What the application's word means for the ledger: anything but a failure says that it is applied. */
function outcomeOf(state: ControlState | undefined | void): Outcome {
  return state?.state === 'failed'
    ? { state: 'failed', code: state.code, message: state.message }
    : { state: 'applied' }
}
