/** One event stream: a connection, its proof of life, and its events one by one as they are asked for. */
import { DownlinkError, limits, type DownlinkEvent } from '@downlink/protocol'
import type { AgentClient } from '../client.ts'
import type { EventsReply } from './events-request.ts'
import { connectionFailure } from '../http/http-failure.ts'
import { IncomingEvents, type ReceivedHeartbeat } from './incoming-events.ts'
import { createLiveness, type Liveness } from './liveness.ts'

/**
 * Why a stream ended. `closed`: by `close()` or by leaving the loop. `aborted`: by the signal. `ended`: by the server,
 * in order. `drained`: by the server, which had said so. `lost`: the connection broke. `silent`: no frame came in
 * time. `limit`: the server passed a bound. `revoked`: the agent's credential was.
 */
export type StreamEnd =
  | { readonly reason: 'closed' | 'aborted' | 'ended' | 'drained' }
  | { readonly reason: 'lost' | 'silent' | 'limit' | 'revoked'; readonly error: DownlinkError }

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

const DONE: IteratorResult<never, undefined> = { done: true, value: undefined }

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
  readonly closed: Promise<StreamEnd>
  private readonly signal: AbortSignal | undefined
  private readonly livenessMsMin: number
  private readonly liveness: Liveness
  /** Aborted when the stream is to end, with what `open` throws if it is not open yet. */
  private readonly connection = new AbortController()
  private readonly incoming: IncomingEvents
  private framesSeen = 0
  private reply: EventsReply | undefined
  /** Bytes wait for the consumer. */
  private isHeldUp = false
  /** Why the stream ends; the first reason stays. */
  private end: StreamEnd | undefined
  private finished = false
  private readonly settled = Promise.withResolvers<StreamEnd>()
  private consumed = false
  /** Calls of `next` that wait for an event; only while there is none. */
  private readonly asking: ((result: IteratorResult<DownlinkEvent, undefined>) => void)[] = []

  constructor(client: AgentClient, options: EventStreamOptions) {
    this.url = client.mirrors.current
    this.signal = options.signal
    this.livenessMsMin = options.livenessMsMin ?? limits.LIVENESS_MS_MIN
    this.closed = this.settled.promise
    this.incoming = new IncomingEvents(client.clock)
    this.liveness = createLiveness(client.clock, this.livenessMs(), this.onSilent)
    this.signal?.addEventListener('abort', this.onAbort, { once: true })
  }

  get heartbeatMs(): number {
    return this.incoming.heartbeatMs
  }

  get lastHeartbeat(): ReceivedHeartbeat | undefined {
    return this.incoming.lastHeartbeat
  }

  get retryMs(): number | undefined {
    return this.incoming.retryMs
  }

  async open(client: AgentClient): Promise<EventStream> {
    try {
      const reply = await client.openEvents(this.connection.signal, this.liveness.deadlineMs)
      if (this.end !== undefined) await reply.hangUp()
      this.connection.signal.throwIfAborted()
      this.url = reply.url
      this.reply = reply
      reply.body.onChange = () => this.read()
      this.read()
      return this
    } catch (error) {
      this.release()
      // Whatever broke because of the abort, the abort is the cause.
      this.connection.signal.throwIfAborted()
      throw error
    }
  }

  close(): Promise<StreamEnd> {
    this.finish({ reason: 'closed' })
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
        return DONE
      },
    }
  }

  private next(): Promise<IteratorResult<DownlinkEvent, undefined>> {
    let event = this.incoming.take()
    if (event === undefined) {
      this.read()
      event = this.incoming.take()
    }
    if (event !== undefined) return Promise.resolve({ done: false, value: event })
    if (this.finished) return Promise.resolve(DONE)
    return new Promise((resolve) => this.asking.push(resolve))
  }

  /** Reads as far as there is room for events, and does what follows from that. */
  private read(): void {
    const { reply, incoming } = this
    if (reply === undefined || this.end !== undefined) return
    do {
      incoming.read(reply.body)
      this.answer()
    } while (this.asking.length > 0 && incoming.isHeldUp)
    this.noteFrames(reply)
    if (incoming.failure !== undefined) return this.finish({ reason: 'limit', error: incoming.failure })
    if (!incoming.isHeldUp && reply.body.end !== undefined) this.finish(this.endOf(reply, reply.body.end))
    else this.noteHold()
  }

  private noteFrames(reply: EventsReply): void {
    if (this.incoming.frames === this.framesSeen) return
    this.framesSeen = this.incoming.frames
    reply.progressed()
    // Otherwise nobody counts, until the hold ends.
    if (!this.isHeldUp) this.liveness.touch()
    this.liveness.setDeadline(this.livenessMs())
  }

  private answer(): void {
    while (this.asking.length > 0) {
      const event = this.incoming.take()
      if (event === undefined) return
      this.asking.shift()?.({ done: false, value: event })
    }
  }

  /** While bytes wait for the consumer, silence is not the hub's. */
  private noteHold(): void {
    const { isHeldUp } = this.incoming
    if (isHeldUp === this.isHeldUp) return
    this.isHeldUp = isHeldUp
    if (isHeldUp) this.liveness.suspend()
    else this.liveness.resume()
  }

  private endOf(reply: EventsReply, end: { readonly error?: unknown }): StreamEnd {
    if (this.incoming.isDraining) return { reason: 'drained' }
    if (!('error' in end)) return { reason: 'ended' }
    return { reason: 'lost', error: connectionFailure(reply.request, end.error) }
  }

  private livenessMs(): number {
    const deadlineMs = this.incoming.heartbeatMs * limits.LIVENESS_HEARTBEATS
    return Math.min(limits.LIVENESS_MS_MAX, Math.max(this.livenessMsMin, deadlineMs))
  }

  private readonly onSilent = (): void => {
    const error = new DownlinkError(
      'stream_silent',
      `No frame of the event stream came from ${this.url.host} for ${this.liveness.deadlineMs} ms. The path is dead, or something between holds the stream back.`,
      { retry: 'backoff' },
    )
    this.finish({ reason: 'silent', error })
    // Last, or the connection that breaks by it would look lost.
    this.connection.abort(error)
  }

  private readonly onAbort = (): void => {
    this.finish({ reason: 'aborted' })
    this.connection.abort(this.signal?.reason)
  }

  private finish(end: StreamEnd): void {
    if (this.end !== undefined) return
    this.end = end
    this.release()
    if (end.reason === 'closed' || end.reason === 'aborted') this.incoming.drop()
    else this.incoming.end()
    this.reply?.body.destroy()
    void this.settle(end)
  }

  private async settle(end: StreamEnd): Promise<void> {
    await this.reply?.hangUp().catch(() => {})
    this.finished = true
    for (const answer of this.asking.splice(0)) answer(DONE)
    this.settled.resolve(end)
  }

  private release(): void {
    this.liveness.stop()
    this.signal?.removeEventListener('abort', this.onAbort)
  }
}
