/** A hub in memory for the tests of applications that embed an agent: no sockets, no disk, faults on demand. */
import {
  DownlinkError,
  formatToken,
  limits,
  systemClock,
  type Clock,
  type ControlState,
  type Json,
  type SyncRequest,
} from '@downlink/protocol'
import type { AgentTransport } from '../http/transport.ts'
import { memoryCredential, type Credential } from '../standing/credential.ts'
import type { ControlWish, TestControl, TestTask } from './test-control.ts'
import { TestMailbox } from './test-mailbox.ts'
import { TestWire } from './test-wire.ts'
import { Waits } from './waits.ts'

/** How a test hub is made. */
export interface TestHubOptions {
  /** @defaultValue `test-agent` */
  readonly agentId?: string
  /** Rules heartbeats and held polls, and, by `agentOptions`, the agent. @defaultValue the clock of this machine */
  readonly clock?: Clock
  /** The period of heartbeats, ms. @defaultValue that of a real hub */
  readonly heartbeatMs?: number
  /** The wait that it asks for between syncs, ms. @defaultValue as a real hub does: 60,000, or 10,000 with tasks at work */
  readonly nextSyncMs?: number
}

/** What a control is waited for: that the hub has taken it, that the agent has applied it, or that the task shows it. */
export type ControlUntil = 'accepted' | 'applied' | 'observed'

/** How a control is asked for, beside its verb. */
export interface TestControlOptions extends Pick<ControlWish, 'lanePolicy' | 'delivery'> {
  /** A control that fails or is superseded ends the wait, too. @defaultValue `observed` */
  readonly until?: ControlUntil
  readonly signal?: AbortSignal
}

/**
 * A hub for one agent. What it answers is decided by the rules of a real hub and passes through the wire's own JSON
 * and frames, so that the agent cannot tell the difference; both pass one suite.
 */
export interface TestHub extends AsyncDisposable {
  readonly agentId: string
  readonly clock: Clock
  readonly transport: AgentTransport
  /** For `createAgent({ ...hub.agentOptions, tasks })`. */
  readonly agentOptions: {
    readonly hubs: readonly string[]
    readonly credential: Credential
    readonly transport: AgentTransport
    readonly clock: Clock
  }
  /** What the agent's syncs have said, the last 1,000. */
  readonly syncs: readonly SyncRequest[]
  readonly controls: readonly TestControl[]
  readonly tasks: readonly TestTask[]
  /** Whether the agent holds a stream. */
  readonly isStreaming: boolean

  /** Hands the agent a task. @throws DownlinkError `task_exists`. */
  start(kind: string, input?: Json, options?: { readonly taskId?: string }): TestTask
  /** As the hub knows it now. @throws DownlinkError `task_not_found`. */
  task(taskId: string): TestTask
  /** @throws DownlinkError `control_not_found`. */
  findControl(controlId: string): TestControl

  cancel(taskId: string, options?: TestControlOptions): Promise<TestControl>
  pause(taskId: string, options?: TestControlOptions): Promise<TestControl>
  resume(taskId: string, options?: TestControlOptions): Promise<TestControl>
  /**
   * A verb of the application's own.
   * @throws DownlinkError `task_cancelling`; `hub_closed` if the hub is disposed of before it is so; the signal's reason.
   */
  control(taskId: string, action: string, args?: Json, options?: TestControlOptions): Promise<TestControl>
  /** Resolves once the task has come to `state`. */
  taskIs(
    taskId: string,
    state: TestTask['state'],
    options?: { readonly signal?: AbortSignal },
  ): Promise<TestTask>
  /** Resolves once `probe` returns something; it is asked after everything that happens here. */
  until<T>(what: string, probe: () => T | undefined | false, signal?: AbortSignal): Promise<T>

  /** Asks the agent for a sync. */
  nudge(): void
  /** Ends the stream, as a broken path does. */
  dropStream(): void
  /** The next `count` command frames are lost: only a sync brings what was in them. @defaultValue 1 */
  losePushes(count?: number): void
  /** The next `count` command frames go out twice. @defaultValue 1 */
  doublePushes(count?: number): void
  /** The next `count` syncs are taken in, and their replies are lost. @defaultValue 1 */
  loseReplies(count?: number): void
  /** Nothing reaches the hub until `comeBack`; the stream is dropped. */
  goAway(): void
  comeBack(): void
  /** The hub dies and starts again on the same store: streams are dropped, a higher epoch begins. */
  restart(): void
  /** Revokes the agent: its stream ends, and every request is answered 410 `agent_revoked`. */
  revoke(): void
}

/** Makes a test hub. Dispose of it after the agent. */
export function createTestHub(options: TestHubOptions = {}): TestHub {
  return new MemoryHub(options)
}

const ORIGIN = 'https://hub.test'
const KEY_PART = 'for-tests-only'

class MemoryHub implements TestHub {
  readonly agentId: string
  readonly clock: Clock
  readonly #mailbox: TestMailbox
  readonly #wire: TestWire
  readonly #waits = new Waits()
  readonly agentOptions: TestHub['agentOptions']
  #startedTasks = 0

  constructor({ agentId = 'test-agent', clock = systemClock, ...options }: TestHubOptions) {
    this.agentId = agentId
    this.clock = clock
    this.#mailbox = new TestMailbox(agentId)
    const key = formatToken({ kind: 'agent', owner: agentId, keyId: KEY_PART, secret: KEY_PART })
    this.#wire = new TestWire({
      agentId,
      key,
      clock,
      mailbox: this.#mailbox,
      heartbeatMs: options.heartbeatMs ?? limits.HEARTBEAT_MS_DEFAULT,
      nextSyncMs: options.nextSyncMs,
      onChange: () => this.#changed(),
    })
    const credential = memoryCredential(key)
    this.agentOptions = { hubs: [ORIGIN], credential, transport: this.#wire, clock }
  }

  get transport(): AgentTransport {
    return this.#wire
  }

  get syncs(): readonly SyncRequest[] {
    return this.#wire.syncs
  }

  get controls(): readonly TestControl[] {
    return this.#mailbox.controls.map((control) => ({ ...control }))
  }

  get tasks(): readonly TestTask[] {
    return [...this.#mailbox.tasks.values()].map((task) => ({ ...task }))
  }

  get isStreaming(): boolean {
    return this.#wire.isStreaming
  }

  start(kind: string, input: Json = null, options: { readonly taskId?: string } = {}): TestTask {
    const taskId = options.taskId ?? `${kind}-${++this.#startedTasks}`
    this.#mailbox.task(taskId, kind, input)
    this.#changed()
    return this.task(taskId)
  }

  task(taskId: string): TestTask {
    const task = this.#mailbox.tasks.get(taskId)
    if (task !== undefined) return { ...task }
    throw new DownlinkError(
      'task_not_found',
      `The test hub knows no task ${taskId}: start it, or wait for the agent to list it.`,
    )
  }

  findControl(controlId: string): TestControl {
    const control = this.#mailbox.find(controlId)
    if (control !== undefined) return { ...control }
    throw new DownlinkError('control_not_found', `The test hub has no control ${controlId}.`)
  }

  cancel(taskId: string, options?: TestControlOptions): Promise<TestControl> {
    return this.control(taskId, 'cancel', null, options)
  }

  pause(taskId: string, options?: TestControlOptions): Promise<TestControl> {
    return this.control(taskId, 'pause', null, options)
  }

  resume(taskId: string, options?: TestControlOptions): Promise<TestControl> {
    return this.control(taskId, 'resume', null, options)
  }

  async control(
    taskId: string,
    action: string,
    args: Json = null,
    { until = 'observed', signal, ...wish }: TestControlOptions = {},
  ): Promise<TestControl> {
    const { controlId } = this.#mailbox.control({ taskId, action, args, ...wish })
    this.#changed()
    if (until === 'accepted') return this.findControl(controlId)
    return this.until(
      `${action} of ${taskId} is ${until}`,
      () => {
        const control = this.findControl(controlId)
        const isSo = until === 'observed' ? control.isObserved : control.outcome.state === 'applied'
        return isSo || isDeadEnd(control.outcome) ? control : undefined
      },
      signal,
    )
  }

  taskIs(
    taskId: string,
    state: TestTask['state'],
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<TestTask> {
    return this.until(
      `task ${taskId} is ${state}`,
      () => this.tasks.find((task) => task.taskId === taskId && task.state === state),
      signal,
    )
  }

  until<T>(what: string, probe: () => T | undefined | false, signal?: AbortSignal): Promise<T> {
    return this.#waits.until(what, probe, signal)
  }

  nudge(): void {
    this.#wire.nudge()
  }

  dropStream(): void {
    this.#wire.dropStream()
    this.#changed()
  }

  losePushes(count = 1): void {
    this.#wire.faults.lostPushes += count
  }

  doublePushes(count = 1): void {
    this.#wire.faults.doubledPushes += count
  }

  loseReplies(count = 1): void {
    this.#wire.faults.lostReplies += count
  }

  goAway(): void {
    this.#wire.faults.isAway = true
    this.dropStream()
  }

  comeBack(): void {
    this.#wire.faults.isAway = false
  }

  restart(): void {
    this.#mailbox.restart()
    this.dropStream()
  }

  revoke(): void {
    this.#wire.faults.isRevoked = true
    this.dropStream()
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.goAway()
    this.#waits.close()
    return Promise.resolve()
  }

  #changed(): void {
    this.#wire.deliver()
    this.#waits.check()
  }
}

/** Whether waiting longer for it is in vain. */
function isDeadEnd({ state }: ControlState): boolean {
  return state === 'failed' || state === 'expired' || state === 'superseded'
}
