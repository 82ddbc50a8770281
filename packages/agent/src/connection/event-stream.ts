/** One event stream: a connection, its proof of life, and its events one by one as they are asked for. */
import {
  advertisedHeartbeatMs,
  createSseDecoder,
  DownlinkError,
  downlinkEvent,
  limits,
  parseHeartbeat,
  type Clock,
  type DownlinkEvent,
  type Heartbeat,
} from '@downlink/protocol'
import type { AgentClient } from '../client.ts'
import type { EventsReply } from './events-request.ts'
import { connectionFailure } from './http-failure.ts'
import { createLiveness, type Liveness } from './liveness.ts'

/**
 * Why a stream ended. `closed`: by `close()` or by leaving the loop. `aborted`: by the signal. `ended`: by the server,
 * in order. `drained`: by the server, which had said so. `lost`: the connection broke. `silent`: no frame came in
 * time. `limit`: the server passed a bound. `revoked`: the agent's credential was.
 */
export type StreamEnd =
  | { readonly reason: 'closed' | 'aborted' | 'ended' | 'drained' }
  | { readonly reason: 'lost' | 'silent' | 'limit' | 'revoked'; readonly error: DownlinkError }

/** A heartbeat and when it was read, by the monotonic clock, ms. */
export type ReceivedHeartbeat = Heartbeat & { readonly receivedMs: number }

/**
 * An open stream of events, for one consumer: a second one throws DownlinkError `stream_consumed`.
 * Leaving the loop closes the stream. When the stream ends by itself, the events that it had brought come first, and
 * then the loop ends without an error: why is in `closed`. After a close or an abort no event comes any more.
 *
 * At most `STREAM_EVENTS_WAITING_MAX` events wait for the consumer; beyond that the socket is not read.
 */
export interface EventStream extends AsyncIterable<DownlinkEvent>, AsyncDisposable {
  readonly url: URL
  /** The period of the server's heartbeats, ms; `HEARTBEAT_MS_DEFAULT` until the server has said it. */
  readonly heartbeatMs: number
  /** The last heartbeat with a counter, to be echoed by the next sync; a server of the original wire sends none. */
  readonly lastHeartbeat: ReceivedHeartbeat | undefined
  /** The server's `retry:`, at most `RETRY_MS_MAX`, or undefined if it sent none. */
  readonly retryMs: number | undefined
  /** Resolves when the connection is gone and all that it brought has been decoded; never rejects. */
  readonly closed: Promise<StreamEnd>
  /** Ends the stream, once; resolves, with why it really ended, when nothing of it is left. */
  close(): Promise<StreamEnd>
}

/** How a stream is opened. */
export interface EventStreamOptions {
  readonly signal?: AbortSignal
  /** Shortest liveness deadline, ms, so that tests need not wait. @defaultValue `LIVENESS_MS_MIN` @internal */
  readonly livenessMsMin?: number
}

const LF = 0x0a
const CR = 0x0d

/**
 * Opens the stream of events: one try at each mirror until one of them streams, with no redirect followed. What happens
 * to the stream afterwards is not tried again here.
 *
 * The proof of life begins before the dial: until the server has told its heartbeat period, the deadline for the name
 * look-up, connect, TLS, headers and first frame, at all mirrors together, is that of `HEARTBEAT_MS_DEFAULT`; then it is
 * `LIVENESS_HEARTBEATS` periods from each frame to the next.
 * @throws HttpError if the answer is not 200 with `text/event-stream` (`not_an_event_stream`, `redirect_refused`, or
 * the code of the reply); DownlinkError if the hub cannot be reached or is silent (`stream_silent`); the signal's reason.
 */
export async function openEventStream(
  client: AgentClient,
  options: EventStreamOptions = {},
): Promise<EventStream> {
  options.signal?.throwIfAborted()
  return new StreamReader(client, options).open(client)
}

class StreamReader implements EventStream {
  url: URL
  heartbeatMs: number = limits.HEARTBEAT_MS_DEFAULT
  lastHeartbeat: ReceivedHeartbeat | undefined
  retryMs: number | undefined
  readonly closed: Promise<StreamEnd>
  private readonly clock: Clock
  private readonly signal: AbortSignal | undefined
  private readonly livenessMsMin: number
  private readonly liveness: Liveness
  /** Aborted when the stream is to end, with what `open` throws if it is not open yet. */
  private readonly connection = new AbortController()
  private readonly waiting: DownlinkEvent[] = []
  private consumed = false
  /** Tells the connection that a frame came. */
  private progressed: () => void = () => {}
  /** A `drain` came: whatever ends the connection now was announced. */
  private draining = false
  /** Why the stream ends; the first reason stays. */
  private end: StreamEnd | undefined
  private finished = false
  private readonly settled = Promise.withResolvers<StreamEnd>()
  /** Resolved and replaced whenever there may be an event, room for one, or an end. */
  private changed = Promise.withResolvers<void>()
  private readonly decoder = createSseDecoder({
    event: (name, data) => this.receive(downlinkEvent(name, data)),
    comment: (text) => this.receiveComment(text),
    retry: (retryMs) => {
      this.retryMs = Math.min(limits.RETRY_MS_MAX, retryMs)
      this.liveness.touch()
    },
  })

  constructor(client: AgentClient, options: EventStreamOptions) {
    this.url = client.mirrors.current
    this.clock = client.clock
    this.signal = options.signal
    this.livenessMsMin = options.livenessMsMin ?? limits.LIVENESS_MS_MIN
    this.closed = this.settled.promise
    this.liveness = createLiveness(this.clock, this.livenessMs(), this.onSilent)
    this.signal?.addEventListener('abort', this.onAbort, { once: true })
  }

  async open(client: AgentClient): Promise<EventStream> {
    try {
      const reply = await client.openEvents(this.connection.signal, this.liveness.deadlineMs)
      if (this.end !== undefined) await reply.hangUp()
      this.connection.signal.throwIfAborted()
      this.url = reply.url
      this.progressed = () => reply.progressed()
      void this.pump(reply)
      return this
    } catch (error) {
      this.release()
      // Whatever broke because of the abort, the abort is the cause.
      this.connection.signal.throwIfAborted()
      throw error
    }
  }

  close(): Promise<StreamEnd> {
    this.finish({ reason: 'closed' }, new DOMException('The event stream was closed.', 'AbortError'))
    return this.closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  [Symbol.asyncIterator](): AsyncIterator<DownlinkEvent, undefined> {
    if (this.consumed) {
      throw new DownlinkError(
        'stream_consumed',
        'This event stream has a consumer already. Hand its events on from there, or open another stream.',
        { retry: 'never' },
      )
    }
    this.consumed = true
    return {
      next: () => this.next(),
      return: async () => {
        await this.close()
        return { done: true, value: undefined }
      },
    }
  }

  private async next(): Promise<IteratorResult<DownlinkEvent, undefined>> {
    for (;;) {
      const event = this.waiting.shift()
      if (event !== undefined) {
        this.notify()
        return { done: false, value: event }
      }
      if (this.finished) return { done: true, value: undefined }
      await this.changed.promise
    }
  }

  /** Reads the connection to its end; the only place that decodes. */
  private async pump(reply: EventsReply): Promise<void> {
    try {
      for await (const chunk of reply.body) await this.read(chunk)
      this.finish({ reason: this.draining ? 'drained' : 'ended' })
    } catch (error) {
      this.finish(this.endOf(reply, error))
    } finally {
      this.decoder.end()
      this.release()
      await reply.hangUp().catch(() => {})
      this.finished = true
      this.settled.resolve(this.end ?? { reason: 'ended' })
      this.notify()
    }
  }

  /**
   * Decodes a chunk line by line, as a line makes one event at most: so the bound on waiting events is exact, and what
   * does not fit stays undecoded. Meanwhile no further chunk is taken from the socket.
   */
  private async read(chunk: Uint8Array): Promise<void> {
    let at = 0
    while (at < chunk.length && this.end === undefined) {
      if (this.waiting.length >= limits.STREAM_EVENTS_WAITING_MAX) {
        await this.room()
      } else {
        const next = lineEnd(chunk, at)
        this.decoder.push(chunk.subarray(at, next))
        at = next
      }
    }
  }

  private async room(): Promise<void> {
    this.liveness.suspend()
    while (this.waiting.length >= limits.STREAM_EVENTS_WAITING_MAX && this.end === undefined) {
      await this.changed.promise
    }
    this.liveness.resume()
  }

  private receive(event: DownlinkEvent): void {
    this.liveness.touch()
    this.progressed()
    if (event.type === 'drain') this.draining = true
    this.waiting.push(event)
    this.notify()
  }

  private receiveComment(comment: string): void {
    const heartbeat = parseHeartbeat(comment)
    if (heartbeat !== undefined) {
      this.lastHeartbeat = { ...heartbeat, receivedMs: this.clock.monotonicMs() }
    }
    const advertisedMs = advertisedHeartbeatMs(comment)
    if (advertisedMs !== undefined) {
      this.heartbeatMs = Math.max(limits.HEARTBEAT_MS_MIN, advertisedMs)
      this.liveness.setDeadline(this.livenessMs())
    }
    this.receive({ type: 'ping', comment })
  }

  private livenessMs(): number {
    const deadlineMs = this.heartbeatMs * limits.LIVENESS_HEARTBEATS
    return Math.min(limits.LIVENESS_MS_MAX, Math.max(this.livenessMsMin, deadlineMs))
  }

  private endOf(reply: EventsReply, error: unknown): StreamEnd {
    const failure = connectionFailure(reply.request, error)
    if (failure.code.startsWith('sse_')) return { reason: 'limit', error: failure }
    return this.draining ? { reason: 'drained' } : { reason: 'lost', error: failure }
  }

  private readonly onSilent = (): void => {
    const error = new DownlinkError(
      'stream_silent',
      `No frame of the event stream came from ${this.url.host} for ${this.liveness.deadlineMs} ms. The path is dead, or something between holds the stream back.`,
      { retry: 'backoff' },
    )
    this.finish({ reason: 'silent', error }, error)
  }

  private readonly onAbort = (): void => {
    this.finish({ reason: 'aborted' }, this.signal?.reason)
  }

  private finish(end: StreamEnd, reason?: unknown): void {
    if (this.end !== undefined) return
    this.end = end
    if (end.reason === 'closed' || end.reason === 'aborted') this.waiting.length = 0
    this.connection.abort(reason)
    this.notify()
  }

  private release(): void {
    this.liveness.stop()
    this.signal?.removeEventListener('abort', this.onAbort)
  }

  private notify(): void {
    this.changed.resolve()
    this.changed = Promise.withResolvers<void>()
  }
}

/** The index behind the first line end at or behind `from`, or the chunk's length. */
function lineEnd(chunk: Uint8Array, from: number): number {
  for (let at = from; at < chunk.length; at += 1) {
    const byte = chunk[at]
    if (byte === LF || byte === CR) return at + 1
  }
  return chunk.length
}
