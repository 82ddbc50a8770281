/** The agent: puts the downlink, the sync loop, the ledger and the tasks together. */
import {
  BoundedLogger,
  DownlinkError,
  limits,
  silentLogger,
  systemClock,
  systemRandom,
  type Clock,
  type DownlinkEvent,
  type Random,
  type StateVerb,
} from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import type { Agent, AgentEnd } from './agent.ts'
import { AgentEvents } from './agent-events.ts'
import { openAgentParts, type AgentParts } from './agent-parts.ts'
import { StatusBoard, workOf } from './agent-status.ts'
import { stopParts } from './agent-stop.ts'
import type { EventStream } from './stream/event-stream.ts'
import { watchForGaps } from './downlink/clock-gap.ts'
import { runDownlink } from './downlink/supervisor.ts'
import type { Journal } from './controls/journal.ts'
import { PatientJournal } from './controls/patient-journal.ts'
import { publish, publishConnection, publishStream } from './diagnostics.ts'
import type { AgentEvent, AgentOptions, AgentStatus } from './options.ts'
import { openStatusFile, type StatusFile } from './state-directory/status-file.ts'
import type { TaskExecutor } from './tasks/executor.ts'
import { createHandlerExecutor } from './tasks/handler-executor.ts'
import { TaskRuntime } from './tasks/runtime.ts'
import type { TrackedTask } from './tasks/tracked-run.ts'

const CONCURRENCY_DEFAULT = 4

/**
 * Makes an agent; dials nothing before `run`.
 * @throws TypeError if no hub is given, or `concurrency` is not a whole number from 1 to 1,000.
 */
export function createAgent(options: AgentOptions): Agent {
  return new DownlinkAgent(options)
}

class DownlinkAgent implements Agent {
  readonly #options: AgentOptions
  readonly #clock: Clock
  readonly #random: Random
  readonly #events: AgentEvents
  readonly #board: StatusBoard
  readonly #runtime: TaskRuntime
  readonly #patientJournal: PatientJournal
  readonly #stopped = new AbortController()
  /** Settles when `run` has opened the journal; what a tracked task wants kept before waits for it. */
  readonly #journalOpened = Promise.withResolvers<Journal>()
  #journal: Journal | undefined
  #finished: Promise<AgentEnd> | undefined
  #running: AgentParts | undefined
  #stream: EventStream | undefined
  #statusFile: StatusFile | undefined

  constructor(options: AgentOptions) {
    const [home] = options.hubs
    if (home === undefined) throw new TypeError('createAgent needs at least one hub URL in `hubs`.')
    const concurrency = options.concurrency ?? CONCURRENCY_DEFAULT
    if (!Number.isSafeInteger(concurrency) || concurrency < 1 || concurrency > limits.AGENT_TASKS_MAX) {
      throw new TypeError(`concurrency must be a whole number from 1 to ${limits.AGENT_TASKS_MAX}.`)
    }
    this.#options = options
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? systemRandom
    this.#events = new AgentEvents(new BoundedLogger(options.logger ?? silentLogger, this.#clock))
    this.#board = new StatusBoard({
      clock: this.#clock,
      hub: () => this.#running?.client.mirrors.current ?? new URL(home),
      work: () => workOf(this.#runtime, this.#running && this.#journal, options.stateDirectory !== undefined),
      onChange: (status) => this.#onStatus(status),
      onSync: () => this.#statusFile?.changed(),
      onJournal: () => this.syncNow(),
    })
    this.#journalOpened.promise.catch(() => undefined)
    const keep: Journal['append'] = async (records) => (await this.#journalOpened.promise).append(records)
    const onTrouble = (error: unknown, message: string): void => this.#events.log('error', { error }, message)
    this.#patientJournal = new PatientJournal({ append: keep, clock: this.#clock, onTrouble })
    this.#runtime = new TaskRuntime({
      executors: this.#executors(),
      concurrency,
      clock: this.#clock,
      intendedState: (taskId) => this.#journal?.ledger.intendedState(taskId) ?? 'running',
      keep,
      patientJournal: this.#patientJournal,
      onChange: () => {
        this.#statusFile?.changed()
        this.syncNow()
      },
      onTrouble,
    })
  }

  run(options: { readonly signal?: AbortSignal } = {}): Promise<AgentEnd> {
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
    if (this.#running === undefined) {
      throw new DownlinkError('not_running', 'A decision needs a running agent; call run first.')
    }
    const decisionId = `local~${randomUUID()}`
    const outcome = await this.#running.controls.decideLocally(taskId, action, decisionId)
    if (outcome.state === 'failed') throw new DownlinkError(outcome.code, outcome.message)
  }

  status(): AgentStatus {
    return this.#board.status
  }

  #onStatus(status: AgentStatus): void {
    const agentId = this.#running?.agentId ?? ''
    publish('downlink:agent:standing', () => ({ agentId, status }))
    this.#statusFile?.changed()
    this.#events.emit({ type: 'status', status })
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

  async #run(signal: AbortSignal): Promise<AgentEnd> {
    const parts = await this.#open()
    const { controls, journal } = parts
    const lost = parts.lock?.lost
    let ended = 'stopped'
    try {
      // A sync of an agent that does not say what it holds would tell the hub that it is gone.
      if (!signal.aborted) {
        this.#running = parts
        this.#runtime.restore(journal.ledger.state.tasks.values())
        controls.recover()
        this.#statusFile = await openStatusFile({
          ...parts,
          clock: this.#clock,
          directory: this.#options.stateDirectory,
          status: () => this.status(),
          onTrouble: (error, message) => this.#events.log('warn', { error }, message),
        })
        const { revoked } = parts.standing
        const ends = [signal, revoked, ...(lost === undefined ? [] : [lost])]
        await this.#converse(parts, AbortSignal.any(ends))
        if (lost?.aborted === true) throw directoryTaken()
        if (revoked.aborted) ended = 'revoked'
      }
    } catch (error) {
      ended = error instanceof DownlinkError ? error.code : 'failed'
      throw error
    } finally {
      await this.#stop(parts)
      await this.#statusFile?.stop(ended)
      await parts.lock?.[Symbol.asyncDispose]()
    }
    return { reason: ended === 'revoked' ? 'revoked' : 'stopped' }
  }

  async #open(): Promise<AgentParts> {
    try {
      const parts = await openAgentParts({
        options: this.#options,
        clock: this.#clock,
        random: this.#random,
        events: this.#events,
        board: this.#board,
        runtime: this.#runtime,
        patientJournal: this.#patientJournal,
        lastHeartbeat: () => this.#stream?.lastHeartbeat,
      })
      this.#journal = parts.journal
      this.#journalOpened.resolve(parts.journal)
      return parts
    } catch (error) {
      this.#patientJournal.stop()
      this.#journalOpened.reject(error)
      await this.#runtime.stop()
      throw error
    }
  }

  /** Follows the stream and syncs until `signal` aborts; if one of them breaks, the other ends with it. */
  async #converse(parts: AgentParts, signal: AbortSignal): Promise<void> {
    const broken = new AbortController()
    const either = AbortSignal.any([signal, broken.signal])
    const ends = await Promise.allSettled(
      [this.#followStream(parts, either), parts.sync.run(either)].map((work) =>
        work.finally(() => broken.abort()),
      ),
    )
    for (const end of ends) if (end.status === 'rejected') throw end.reason as unknown
  }

  #followStream(
    { agentId, client, controls, exchange, sync }: AgentParts,
    signal: AbortSignal,
  ): Promise<void> {
    const { livenessMsMin, mode } = this.#options
    return runDownlink({
      client,
      clock: this.#clock,
      random: this.#random,
      signal,
      onEvent: (event) => this.#onStreamEvent(event),
      onSyncWanted: (_, delayMs) => sync.want(delayMs),
      onStatus: (status) => {
        publishConnection(agentId, () => client.mirrors.current, status)
        this.#board.connection(status)
        sync.paceChanged()
      },
      onStream: (stream) => {
        this.#stream = stream
        publishStream(agentId, stream)
        controls.streamOpened()
        sync.hubIsBack()
      },
      onHubIsBack: () => sync.hubIsBack(),
      watchGaps: (onGap) =>
        watchForGaps(this.#clock, () => {
          // Connections that are kept for syncs would each have to be found dead.
          client.dropConnections()
          sync.hubIsBack()
          onGap()
        }),
      watchAnswers: (onAnswer) => sync.watchAnswers(onAnswer),
      hubClock: exchange.hubClock,
      ...(mode === undefined ? {} : { mode }),
      ...(livenessMsMin === undefined ? {} : { livenessMsMin }),
    })
  }

  #onStreamEvent(event: DownlinkEvent): void {
    if (this.#running === undefined || this.#stream === undefined) return
    const { controls } = this.#running
    controls.frame(this.#stream.heartbeatMs)
    if (event.type === 'command') controls.deliver(event.controls, { kind: 'push' })
  }

  async #stop(parts: AgentParts): Promise<void> {
    const base = {
      options: this.#options,
      clock: this.#clock,
      events: this.#events,
      runtime: this.#runtime,
      patientJournal: this.#patientJournal,
    }
    await stopParts(parts, base, this.#running !== undefined)
    this.#running = undefined
  }

  #executors(): ReadonlyMap<string, TaskExecutor> {
    return new Map(
      Object.entries(this.#options.tasks ?? {}).map(([kind, task]) => [
        kind,
        'createExecutor' in task ? task.createExecutor(this.#clock) : createHandlerExecutor(task),
      ]),
    )
  }
}

function directoryTaken(): DownlinkError {
  return new DownlinkError(
    'state_directory_in_use',
    'Another process has taken the state directory, as this one stood still for long. Stop one of the two.',
    { retry: 'never' },
  )
}
