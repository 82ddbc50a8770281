/** The agent API of a test hub: the requests and frames of the wire, in memory, and what may go wrong with them. */
import {
  controlToJson,
  encodeCommands,
  encodeHeartbeat,
  encodePreamble,
  encodeSync,
  ERROR_CODES,
  isTerminalStatus,
  limits,
  parseJson,
  parseSyncRequest,
  type Clock,
  type ErrorCode,
  type IssuedControl,
  type Json,
  type SyncRequest,
  type Timer,
} from '@downlink/protocol'
import { Readable } from 'node:stream'
import type { AgentTransport, TransportReply, TransportRequest } from '../http/transport.ts'
import type { TestMailbox } from './test-mailbox.ts'

/** What the wire is about. */
export interface TestWireOptions {
  readonly agentId: string
  readonly key: string
  readonly clock: Clock
  readonly mailbox: TestMailbox
  readonly heartbeatMs: number
  readonly nextSyncMs: number | undefined
  /** Something happened that a test may wait for. */
  readonly onChange: () => void
}

/** What goes wrong. */
export interface WireFaults {
  lostPushes: number
  doubledPushes: number
  lostReplies: number
  isAway: boolean
  isRevoked: boolean
}

const PREFIX = '/api/internal/agent/'
const SYNCS_KEPT = 1_000

interface Stream {
  readonly body: Readable
  readonly journalId: string | undefined
  /** Revisions of the controls, and the tasks, that it or a sync's reply has told of. */
  told: Map<string, string>
  toldTasks: Set<string>
  heartbeat: Timer | undefined
}

/** A request that is refused. */
class Refusal extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Answers as the agent API does. */
export class TestWire implements AgentTransport {
  readonly faults: WireFaults = {
    lostPushes: 0,
    doubledPushes: 0,
    lostReplies: 0,
    isAway: false,
    isRevoked: false,
  }
  readonly syncs: SyncRequest[] = []
  readonly #options: TestWireOptions
  #stream: Stream | undefined
  #heartbeats = 0
  /** The version of the mailbox that the last reply showed. */
  #repliedVersion = -1
  #isNudged = false
  /** Looks again at the held `wake`. */
  #recheckWake: (() => void) | undefined

  constructor(options: TestWireOptions) {
    this.#options = options
  }

  get isStreaming(): boolean {
    return this.#stream !== undefined
  }

  async request(request: TransportRequest): Promise<TransportReply> {
    request.signal.throwIfAborted()
    if (this.faults.isAway) throw broken('ECONNREFUSED', 'The test hub is away.')
    try {
      this.#authenticate(request)
      return await this.#answer(request)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const { code, message } = error
      return jsonReply(ERROR_CODES[code].status, { error: code, message })
    }
  }

  /** Tells the open stream, and the held `wake`, what it does not know yet. */
  deliver(): void {
    const { mailbox } = this.#options
    const stream = this.#stream
    if (stream !== undefined) {
      const current = mailbox.toHandOut()
      const untold = current.filter((control) => stream.told.get(control.controlId) !== revisionOf(control))
      const pushed = untold.filter((control) => mailbox.mayPush(control, stream.journalId))
      const waiting = mailbox.assignedTaskIds
      const hasNewTasks = waiting.some((taskId) => !stream.toldTasks.has(taskId))
      stream.told = new Map(current.map((control) => [control.controlId, revisionOf(control)]))
      stream.toldTasks = new Set(waiting)
      this.#push(stream, pushed)
      if (pushed.length < untold.length || hasNewTasks) stream.body.push(encodeSync('wake'))
    }
    this.#recheckWake?.()
  }

  nudge(): void {
    this.#isNudged = true
    this.#stream?.body.push(encodeSync('nudge'))
    this.#recheckWake?.()
  }

  /** Also ends a `wake` that is held, if it would be refused now. */
  dropStream(): void {
    this.#stream?.body.destroy(broken('ECONNRESET', 'The test hub dropped the stream.'))
    this.#stream = undefined
    this.#recheckWake?.()
  }

  #authenticate({ headers }: TransportRequest): void {
    if (headers['authorization'] !== `Bearer ${this.#options.key}`) {
      throw new Refusal('unauthorized', 'The test hub does not know this key: use its agentOptions.')
    }
    if (this.faults.isRevoked) throw new Refusal('agent_revoked', 'The test revoked this agent.')
    const bootNonce = headers['downlink-boot']
    if (bootNonce !== undefined && this.#options.mailbox.isReplaced(bootNonce)) throw hashTaken()
  }

  #answer(request: TransportRequest): TransportReply | Promise<TransportReply> {
    switch (`${request.method} ${request.path.slice(PREFIX.length)}`) {
      case 'GET events':
        return this.#openStream(request)
      case 'GET wake':
        return this.#holdWake(request)
      case 'POST sync':
        return this.#sync(request)
      case 'POST register':
      case 'POST deregister':
        return jsonReply(200, { success: true })
      default:
        throw new Refusal('not_found', `The test hub has no ${request.method} ${request.path}.`)
    }
  }

  #openStream({ headers, signal }: TransportRequest): TransportReply {
    const { heartbeatMs, onChange } = this.#options
    // The newest has it.
    this.#stream?.body.push(null)
    const body = new Readable({ read: () => undefined })
    const [journalId] = headers['downlink-journal']?.split(' ') ?? []
    const stream: Stream = {
      body,
      journalId,
      told: new Map(),
      toldTasks: new Set(),
      heartbeat: undefined,
    }
    const onAbort = (): void => void body.destroy()
    signal.addEventListener('abort', onAbort, { once: true })
    body.on('error', () => undefined)
    body.once('close', () => {
      signal.removeEventListener('abort', onAbort)
      stream.heartbeat?.cancel()
      if (this.#stream === stream) this.#stream = undefined
      onChange()
    })
    this.#stream = stream
    body.push(encodePreamble(heartbeatMs, limits.PREAMBLE_RETRY_MS))
    this.#beat(stream)
    onChange()
    return { status: 200, headers: { 'content-type': 'text/event-stream' }, body }
  }

  #beat(stream: Stream): void {
    const { clock, heartbeatMs } = this.#options
    stream.heartbeat = clock.setTimer(heartbeatMs, () => {
      if (this.#stream !== stream) return
      stream.body.push(encodeHeartbeat({ counter: ++this.#heartbeats, hubMs: Math.round(clock.wallMs()) }))
      this.#beat(stream)
    })
  }

  #push(stream: Stream, controls: readonly IssuedControl[]): void {
    for (const bytes of encodeCommands(controls)) {
      if (this.faults.lostPushes > 0) {
        this.faults.lostPushes--
        continue
      }
      stream.body.push(bytes)
      if (this.faults.doubledPushes > 0) {
        this.faults.doubledPushes--
        stream.body.push(bytes)
      }
    }
    this.#options.mailbox.written(controls)
  }

  #sync({ body }: TransportRequest): TransportReply {
    const { agentId, mailbox, onChange } = this.#options
    const sync = parseSyncRequest(parseJson(body ?? '', limits.JSON_DEPTH_MAX) ?? null)
    if (sync === undefined) throw new Refusal('bad_request', 'The sync has no agentId.')
    if (sync.agentId !== agentId) throw new Refusal('agent_mismatch', 'The key is of another agent id.')
    this.#isNudged = false
    const answer = mailbox.sync(sync)
    if (answer === 'clone') throw hashTaken()
    this.syncs.push(sync)
    if (this.syncs.length > SYNCS_KEPT) this.syncs.shift()
    mailbox.written(answer.controls)
    this.#repliedVersion = mailbox.version
    for (const control of answer.controls) this.#stream?.told.set(control.controlId, revisionOf(control))
    for (const { id } of answer.newTasks) this.#stream?.toldTasks.add(id)
    const isLost = this.faults.lostReplies > 0
    if (isLost) this.faults.lostReplies--
    onChange()
    if (isLost) throw broken('ECONNRESET', 'The test hub lost this reply.')
    return jsonReply(200, {
      controls: answer.controls.map(controlToJson),
      newTasks: answer.newTasks.map(({ id, kind, input }) => ({
        id,
        ...(kind === undefined ? {} : { kind }),
        ...(input === undefined ? {} : { input }),
      })),
      watching: false,
      acked: answer.acked,
      nextSyncMs: this.#nextSyncMs(sync),
    })
  }

  #nextSyncMs({ tasks }: SyncRequest): number {
    if (this.#options.nextSyncMs !== undefined) return this.#options.nextSyncMs
    const isIdle = this.isStreaming && tasks.every(({ status }) => isTerminalStatus(status))
    return isIdle ? limits.SYNC_IDLE_MS : limits.SYNC_ACTIVE_MS
  }

  /** Level by level: answered at once if the last reply showed an older mailbox. */
  #holdWake({ signal }: TransportRequest): Promise<TransportReply> {
    const { clock, mailbox } = this.#options
    return new Promise((resolve, reject) => {
      const settle = (result: TransportReply | Error): void => {
        timer.cancel()
        signal.removeEventListener('abort', onAbort)
        this.#recheckWake = undefined
        if (result instanceof Error) reject(result)
        else resolve(result)
      }
      const onAbort = (): void => settle(broken('ABORT_ERR', 'The agent gave up.'))
      const timer = clock.setTimer(limits.WAKE_HOLD_MS_MAX, () => settle(jsonReply(200, { wake: false })))
      signal.addEventListener('abort', onAbort, { once: true })
      this.#recheckWake = () => {
        if (this.faults.isAway) settle(broken('ECONNRESET', 'The test hub went away.'))
        else if (this.faults.isRevoked) settle(new Refusal('agent_revoked', 'The test revoked this agent.'))
        else if (this.#isNudged || mailbox.version > this.#repliedVersion) {
          settle(jsonReply(200, { wake: true }))
        }
      }
      this.#recheckWake()
    })
  }
}

function hashTaken(): Refusal {
  return new Refusal('agent_hash_taken', 'A newer start of this agent runs; a test hub serves one at a time.')
}

function revisionOf({ epoch, revision }: IssuedControl): string {
  return `${epoch}.${revision}`
}

function jsonReply(status: number, json: Json): TransportReply {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) }
}

function broken(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}
