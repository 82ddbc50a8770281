/** Keeps an event stream open: does what the connection machine decides, and hands on what the stream brings. */
import {
  DownlinkError,
  HttpError,
  type Clock,
  type DownlinkEvent,
  type Random,
  delay,
} from '@downlink/protocol'
import type { AgentClient } from '../client.ts'
import { openEventStream, type EventStream } from './event-stream.ts'
import {
  connectionStep,
  INITIAL_CONNECTION,
  type ConnectionAction,
  type ConnectionEvent,
  type ConnectionState,
  type ConnectionStatus,
} from './machine.ts'

/** What the downlink needs, and whom it tells. */
export interface DownlinkOptions {
  readonly client: AgentClient
  readonly clock: Clock
  readonly random: Random
  readonly signal: AbortSignal
  /**
   * Every event of every stream, `sync` and pings included, one at a time: the next one waits for the promise, and
   * while it waits the socket is not read beyond `STREAM_EVENTS_WAITING_MAX` events.
   */
  readonly onEvent: (event: DownlinkEvent) => void | Promise<void>
  /** Come and fetch: a stream opened, or the hub said so. Called often; coalesce. */
  readonly onSyncWanted: (reason: string) => void
  readonly onStatus: (status: ConnectionStatus) => void
  /** A stream is open: its `lastHeartbeat` is for the echo of the next sync. */
  readonly onStream?: (stream: EventStream) => void
  /** @internal */
  readonly livenessMsMin?: number
}

type Effect = Extract<ConnectionAction, { type: 'dial' | 'setTimer' }>

/**
 * Runs until `signal` aborts, and then resolves with the stream closed and the last `onEvent` done; nothing is called
 * afterwards.
 * @throws what a callback throws, with the stream closed: an agent that cannot act on a control must not take more.
 */
export async function runDownlink(options: DownlinkOptions): Promise<void> {
  await new Downlink(options).run()
}

class Downlink {
  private readonly options: DownlinkOptions
  private state: ConnectionState = INITIAL_CONNECTION
  /** What the machine asked for last, and what the loop does next. */
  private effect: Effect | undefined

  constructor(options: DownlinkOptions) {
    this.options = options
  }

  async run(): Promise<void> {
    this.step({ type: 'started' })
    while (this.state.name !== 'stopped') {
      this.step(await this.perform(this.effect))
    }
  }

  private step(event: ConnectionEvent): void {
    const { clock, random, signal } = this.options
    const happened: ConnectionEvent = signal.aborted ? { type: 'stop' } : event
    const { state, actions } = connectionStep(this.state, happened, {
      nowMs: clock.monotonicMs(),
      random: random(),
    })
    this.state = state
    this.effect = undefined
    for (const action of actions) this.act(action)
  }

  private act(action: ConnectionAction): void {
    switch (action.type) {
      case 'dial':
      case 'setTimer':
        this.effect = action
        return
      case 'sync':
        return this.options.onSyncWanted(action.reason)
      case 'report':
        return this.options.onStatus(action.status)
    }
  }

  /** Does it, and returns what came of it. */
  private async perform(effect: Effect | undefined): Promise<ConnectionEvent> {
    if (effect === undefined) throw new Error('The connection machine asked for nothing and has not stopped.')
    return effect.type === 'dial' ? this.follow() : this.rest(effect.delayMs)
  }

  private async rest(delayMs: number): Promise<ConnectionEvent> {
    const { clock, signal } = this.options
    try {
      await delay(clock, delayMs, signal)
      return { type: 'timer' }
    } catch {
      return { type: 'stop' }
    }
  }

  /** Opens a stream and follows it to its end. */
  private async follow(): Promise<ConnectionEvent> {
    const { client, signal, livenessMsMin } = this.options
    let stream: EventStream
    try {
      stream = await openEventStream(client, {
        signal,
        ...(livenessMsMin === undefined ? {} : { livenessMsMin }),
      })
    } catch (error) {
      if (signal.aborted) return { type: 'stop' }
      return failedBy(error)
    }
    try {
      this.options.onStream?.(stream)
      this.step({ type: 'opened' })
      for await (const frame of stream) {
        if (signal.aborted) break
        this.step({ type: 'frame', frame })
        await this.options.onEvent(frame)
      }
    } finally {
      await stream.close()
    }
    const end = await stream.closed
    return { type: 'ended', end, ...(stream.retryMs === undefined ? {} : { retryMs: stream.retryMs }) }
  }
}

function failedBy(error: unknown): ConnectionEvent {
  if (!(error instanceof DownlinkError)) throw error
  const retryAfterMs = error instanceof HttpError ? error.retryAfterMs : undefined
  return {
    type: 'failed',
    failure: { code: error.code, message: error.message, retry: error.retry },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
}
