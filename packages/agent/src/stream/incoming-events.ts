/** Turns the bytes of one event stream into typed events, no sooner than somebody has room for them. */
import {
  advertisedHeartbeatMs,
  createSseDecoder,
  downlinkEvent,
  limits,
  parseHeartbeat,
  SseLimitError,
  type Clock,
  type DownlinkEvent,
  type Heartbeat,
} from '@downlink/protocol'
import type { ReplyBody } from '../http/reply-body.ts'

/** A heartbeat and when it was read, by the monotonic clock, ms. */
export type ReceivedHeartbeat = Heartbeat & { readonly receivedMs: number }

const WAITING_MAX = limits.STREAM_EVENTS_WAITING_MAX

/**
 * What a stream has brought: at most `STREAM_EVENTS_WAITING_MAX` events that wait, and what the lines that were read said
 * about the stream itself. The bytes behind those events stay as they came.
 */
export class IncomingEvents {
  heartbeatMs: number = limits.HEARTBEAT_MS_DEFAULT
  lastHeartbeat: ReceivedHeartbeat | undefined
  retryMs: number | undefined
  /** A `drain` came: whatever ends the connection now was announced. */
  isDraining = false
  /** Events and comments that were read so far. */
  frames = 0
  /** Reading ended for want of room: bytes may wait. */
  isHeldUp = false
  /** The bound that the stream passed: what it brought before is still there, and nothing more will be. */
  failure: SseLimitError | undefined
  private readonly clock: Clock
  /** A ring: `count` events from `first` on. */
  private readonly waiting = Array.from<DownlinkEvent | undefined>({ length: WAITING_MAX })
  private first = 0
  private count = 0
  private readonly decoder = createSseDecoder({
    event: (name, data) => this.receive(downlinkEvent(name, data)),
    comment: (text) => this.receiveComment(text),
    retry: (retryMs) => {
      this.retryMs = Math.min(limits.RETRY_MS_MAX, retryMs)
    },
  })

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** The next event that waits. */
  take(): DownlinkEvent | undefined {
    if (this.count === 0) return undefined
    const event = this.waiting[this.first]
    this.waiting[this.first] = undefined
    this.first = (this.first + 1) % WAITING_MAX
    this.count -= 1
    return event
  }

  /** Reads on in `body`, as far as there is room for events. */
  read(body: ReplyBody): void {
    try {
      if (this.count === WAITING_MAX) return
      if (this.isHeldUp) this.isHeldUp = !this.decoder.resume()
      while (!this.isHeldUp) {
        const bytes = body.read()
        if (bytes === undefined) return
        this.isHeldUp = !this.decoder.push(bytes)
      }
    } catch (error) {
      if (!(error instanceof SseLimitError)) throw error
      this.failure = error
    }
  }

  /** Reads no further; the events that wait stay. */
  end(): void {
    this.decoder.end()
  }

  /** Drops the events that wait, too. */
  drop(): void {
    this.end()
    this.waiting.fill(undefined)
    this.count = 0
  }

  private receive(event: DownlinkEvent): void {
    this.frames += 1
    if (event.type === 'drain') this.isDraining = true
    this.waiting[(this.first + this.count) % WAITING_MAX] = event
    this.count += 1
    if (this.count === WAITING_MAX) this.decoder.pause()
  }

  private receiveComment(comment: string): void {
    const heartbeat = parseHeartbeat(comment)
    if (heartbeat !== undefined) {
      this.lastHeartbeat = { ...heartbeat, receivedMs: this.clock.monotonicMs() }
    }
    const advertisedMs = advertisedHeartbeatMs(comment)
    if (advertisedMs !== undefined) this.heartbeatMs = Math.max(limits.HEARTBEAT_MS_MIN, advertisedMs)
    this.receive({ type: 'ping', comment })
  }
}
