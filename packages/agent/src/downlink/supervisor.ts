/** Keeps an agent reachable: does what the connection machine decides, and hands on what the stream brings. */
import {
  DownlinkError,
  HttpError,
  limits,
  parseHeartbeat,
  takeToken,
  type Clock,
  type DownlinkEvent,
  type Heartbeat,
  type Random,
  type Rate,
  type Timer,
  type TokenBucket,
} from '@downlink/protocol'
import type { AgentClient } from '../client.ts'
import {
  initialConnection,
  type ConnectionAction,
  type ConnectionEvent,
  type ConnectionFailure,
  type ConnectionState,
  type ConnectionStatus,
  type DownlinkMode,
} from './connection-state.ts'
import { openEventStream, type EventStream, type StreamEnd } from '../stream/event-stream.ts'
import { connectionStep } from './machine.ts'
import { STOOD_STILL } from './reconnect-machine.ts'

/** What the downlink needs, and whom it tells. */
export interface DownlinkOptions {
  readonly client: AgentClient
  readonly clock: Clock
  readonly random: Random
  readonly signal: AbortSignal
  /** @defaultValue `auto` */
  readonly mode?: DownlinkMode
  /**
   * Every event of every stream, `sync` and pings included, one at a time: the next one waits for the promise, and
   * while it waits the socket is not read beyond `STREAM_EVENTS_WAITING_MAX` events.
   */
  readonly onEvent: (event: DownlinkEvent) => void | Promise<void>
  /** Come and fetch, after `delayMs`: a stream opened, or the hub said so. Called often; coalesce. */
  readonly onSyncWanted: (reason: string, delayMs: number) => void
  readonly onStatus: (status: ConnectionStatus) => void
  /** A stream is open: its `lastHeartbeat` is for the echo of the next sync. */
  readonly onStream?: (stream: EventStream) => void
  /** The hub answers `wake` after it did not: whatever waits because the hub was away need not wait longer. */
  readonly onHubIsBack?: () => void
  /**
   * Tells, until disposed of, that this process, or its machine, stood still for longer than a connection may be silent:
   * what is open is probably dead, so that the downlink dials anew and asks for a sync. @defaultValue nothing tells
   */
  readonly watchGaps?: (onGap: () => void) => Disposable
  /** Tells, until disposed of, that the hub has answered something else: whatever kept a stream from reaching it is over. @defaultValue nothing tells */
  readonly watchAnswers?: (onAnswer: () => void) => Disposable
  /** What is known of the hub's wall clock. @defaultValue nothing */
  readonly hubClock?: KnownHubClock
  /** @internal */
  readonly livenessMsMin?: number
}

/**
 * Runs until `signal` aborts, and then resolves with the stream closed and the last `onEvent` done; nothing is called
 * afterwards.
 * @throws what a callback throws, with the stream closed: an agent that cannot act on a control must not take more.
 */
export async function runDownlink(options: DownlinkOptions): Promise<void> {
  await new Downlink(options).run()
}

const FRAMES: Rate = { perS: limits.STREAM_FRAMES_PER_S_MAX, burst: limits.STREAM_FRAMES_BURST }

const FLOOD: StreamEnd = {
  reason: 'limit',
  error: new DownlinkError(
    'stream_flooded',
    `More frames came down the stream than ${limits.STREAM_FRAMES_PER_S_MAX} a second, and no hub sends so many. Look at what answers in the hub's place.`,
    { retry: 'backoff' },
  ),
}

class Downlink {
  private readonly options: DownlinkOptions
  private state: ConnectionState
  private timer: Timer | undefined
  private pollTimer: Timer | undefined
  /** What is left of the rate of frames, of all streams together: another stream is no way around it. */
  private frames: TokenBucket | undefined
  /** Gives up the try or the stream under way. */
  private attempt = new AbortController()
  /** Ends the `wake` under way. */
  private question = new AbortController()
  /** Aborts when the downlink ends, whatever ends it. */
  private readonly over = new AbortController()
  private readonly stopped = Promise.withResolvers<void>()
  /** What is under way; each one settles soon once the downlink is over, and never rejects. */
  private readonly activities = new Set<Promise<void>>()

  constructor(options: DownlinkOptions) {
    this.options = options
    this.state = initialConnection(options.mode ?? 'auto')
  }

  async run(): Promise<void> {
    const { signal } = this.options
    const stop = (): void => this.happen({ type: 'stop' })
    const gaps = this.options.watchGaps?.(() => this.happen({ type: 'resumed' }))
    const answers = this.options.watchAnswers?.(() => this.happen({ type: 'hubAnswered' }))
    signal.addEventListener('abort', stop, { once: true })
    this.happen({ type: signal.aborted ? 'stop' : 'started' })
    try {
      await this.stopped.promise
    } finally {
      gaps?.[Symbol.dispose]()
      answers?.[Symbol.dispose]()
      signal.removeEventListener('abort', stop)
      while (this.activities.size > 0) await Promise.all(this.activities)
    }
    // A callback may have thrown while the last activity ended.
    await this.stopped.promise
  }

  /** Takes a step; a callback that throws ends the downlink. */
  private happen(event: ConnectionEvent): void {
    if (this.over.signal.aborted) return
    const { clock, random } = this.options
    try {
      const { state, actions } = connectionStep(this.state, event, {
        nowMs: clock.monotonicMs(),
        random: random(),
      })
      this.state = state
      for (const action of actions) this.act(action)
      if (state.name === 'stopped') this.finish()
    } catch (error) {
      this.fail(error)
    }
  }

  private act(action: ConnectionAction): void {
    const { clock } = this.options
    switch (action.type) {
      case 'dial':
        this.attempt = new AbortController()
        return this.begin(this.follow(AbortSignal.any([this.attempt.signal, this.over.signal])))
      case 'hangUp':
        return this.attempt.abort(
          new DownlinkError(STOOD_STILL, 'This process stood still; the hub is dialled anew.', {
            retry: 'backoff',
          }),
        )
      case 'setTimer':
        this.timer?.cancel()
        this.timer = clock.setTimer(action.delayMs, () => this.happen({ type: 'timer' }))
        return
      case 'ask':
        this.question = new AbortController()
        return this.begin(this.ask(this.question.signal))
      case 'setPollTimer':
        this.pollTimer?.cancel()
        this.pollTimer = clock.setTimer(action.delayMs, () => this.happen({ type: 'pollTimer' }))
        return
      case 'endPoll':
        this.pollTimer?.cancel()
        return this.question.abort()
      case 'sync':
        return this.options.onSyncWanted(action.reason, action.delayMs ?? 0)
      case 'hubIsBack':
        return this.options.onHubIsBack?.()
      case 'report':
        return this.options.onStatus(action.status)
    }
  }

  private begin(work: Promise<void>): void {
    const activity = work
      .catch((error: unknown) => this.fail(error))
      .finally(() => this.activities.delete(activity))
    this.activities.add(activity)
  }

  private fail(error: unknown): void {
    this.stopped.reject(error)
    this.finish()
  }

  private finish(): void {
    this.timer?.cancel()
    this.pollTimer?.cancel()
    this.question.abort()
    this.over.abort()
    this.stopped.resolve()
  }

  /** Asks `wake` once. */
  private async ask(ended: AbortSignal): Promise<void> {
    let answer: ConnectionEvent
    try {
      const wake = await this.options.client.wake({ signal: AbortSignal.any([ended, this.over.signal]) })
      answer = { type: 'pollAnswered', wake }
    } catch (error) {
      if (ended.aborted) return
      answer = { type: 'pollFailed', ...failureOf(error) }
    }
    if (!ended.aborted) this.happen(answer)
  }

  /** Opens a stream and follows it to its end. */
  private async follow(signal: AbortSignal): Promise<void> {
    const { client, livenessMsMin } = this.options
    let stream: EventStream
    try {
      stream = await openEventStream(client, {
        signal,
        ...(livenessMsMin === undefined ? {} : { livenessMsMin }),
      })
    } catch (error) {
      if (this.over.signal.aborted) return
      return this.happen({ type: 'failed', ...failureOf(error) })
    }
    let flood: StreamEnd | undefined
    try {
      this.options.onStream?.(stream)
      this.happen({ type: 'opened' })
      for await (const frame of stream) {
        if (signal.aborted) break
        this.happen(this.frameOf(stream, frame))
        await this.options.onEvent(frame)
        if (this.isFlood()) {
          flood = FLOOD
          break
        }
      }
    } finally {
      await stream.close()
    }
    const end = flood ?? (await stream.closed)
    // Beside `wake` a stream may be held back where all else gets through.
    if (end.reason === 'silent' && this.state.poll.name === 'off') client.dropConnections()
    this.happen({ type: 'ended', end, ...(stream.retryMs === undefined ? {} : { retryMs: stream.retryMs }) })
  }

  /** Counts a frame; whether it was one too many. */
  private isFlood(): boolean {
    const { bucket, waitMs } = takeToken(this.frames, FRAMES, this.options.clock.monotonicMs())
    this.frames = bucket
    return waitMs > 0
  }

  private frameOf({ heartbeatMs, lastHeartbeat }: EventStream, frame: DownlinkEvent): ConnectionEvent {
    const heartbeat = frame.type === 'ping' ? parseHeartbeat(frame.comment) : undefined
    if (heartbeat !== undefined) this.options.hubClock?.heard(heartbeat, heartbeatMs)
    const offsetMs = this.options.hubClock?.offsetMs
    if (offsetMs === undefined || heartbeat === undefined) return { type: 'frame', frame, heartbeatMs }
    // When it was read, unless another one has been read since.
    const readMs =
      lastHeartbeat?.counter === heartbeat.counter
        ? lastHeartbeat.receivedMs
        : this.options.clock.monotonicMs()
    return { type: 'frame', frame, heartbeatMs, lagMs: readMs + offsetMs - heartbeat.hubMs }
  }
}

/** How far the hub's wall clock is ahead of our monotonic one: it tells how late heartbeats come. */
export interface KnownHubClock {
  /** In ms, if it is known. */
  readonly offsetMs: number | undefined
  /** Told of each heartbeat when it is read. */
  heard(heartbeat: Heartbeat, heartbeatMs: number): void
}

function failureOf(error: unknown): { readonly failure: ConnectionFailure; readonly retryAfterMs?: number } {
  if (!(error instanceof DownlinkError)) throw error
  const retryAfterMs = error instanceof HttpError ? error.retryAfterMs : undefined
  return {
    failure: { code: error.code, message: error.message, retry: error.retry },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
}
