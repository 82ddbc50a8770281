/** One open stream to an agent: a bounded queue of whole frames in front of any connection that can write and end. */
import { encodeSync, limits, type Boot, type Clock, type Timer } from '@downlink/protocol'
import type { MailboxChange } from '../controls/mailbox-changes.ts'
import { DeliveryCounts, type StreamEnd } from './delivery-counts.ts'

/** All that a session needs of its connection. */
export interface SessionConnection {
  /** Takes all of `bytes`; false asks to wait for the drain notification before the next write. */
  write(bytes: Uint8Array): boolean
  /** Ends the connection: what it has taken may still be sent, unless its reader stands still. Safe to call twice. */
  end(): void
}

/** One whole frame, never split. */
export interface Frame {
  readonly bytes: Uint8Array
  /** Called when the connection has taken the bytes; never if the frame was dropped. */
  readonly onWritten?: () => void
}

/** What a session is made of. */
export interface SessionOptions {
  readonly agentId: string
  /** Present for our agents, which acknowledge; absent for an original. */
  readonly boot?: Boot
  readonly connection: SessionConnection
  readonly clock: Clock
  /** Of the hub. @defaultValue of nobody */
  readonly counts?: DeliveryCounts
  /** Called once, when nothing more will be written. */
  readonly onEnd?: (session: Session) => void
}

/** Tells one stream about one mailbox. */
export interface Pusher {
  /** Pushes what the stream has not been told; a mailbox older than one already seen is ignored. */
  deliver(change: Pick<MailboxChange, 'mailbox'> & Partial<MailboxChange>): void
}

/** A stream to an agent. */
export interface Session {
  readonly agentId: string
  readonly boot?: Boot
  /** By the monotonic clock. */
  readonly openedMs: number
  readonly isEnded: boolean
  /** Tells it of its agent's mailbox, once it is its agent's stream. */
  pusher: Pusher | undefined
  /** Writes the frame, or queues it. What does not fit collapses, with all that is queued, into one `sync`. */
  send(frame: Frame): void
  /** Owes the agent a `sync`: at most one is queued. */
  sendSync(reason: string): void
  /** Writes or queues a `sync` over a window, encoded once for many, unless one is owed that is due at once. */
  sendBroadcast(bytes: Uint8Array): void
  /** Writes a heartbeat, or leaves it out while the reader does not keep up: older bytes are waiting then. */
  sendHeartbeat(bytes: Uint8Array): void
  /** The connection can take more. */
  drained(): void
  /**
   * Ends the stream; frames that are still queued are dropped, `last` is written if the connection takes it.
   * @param why - for the counts. @defaultValue `gone`
   */
  end(why?: StreamEnd, last?: Uint8Array): void
}

/** Makes a session on an open connection; it owns neither sockets nor timers once ended. */
export function createSession(options: SessionOptions): Session {
  return new QueuedSession(options)
}

/** What a session has only while its connection asks to wait: most never do. */
interface Backlog {
  frames: Frame[]
  bytes: number
  /** The one of `frames` that is a sync due at once. */
  syncFrame: Frame | undefined
  /** When it is cut; undefined while it drains. */
  stall: { readonly deadlineMs: number; readonly timer: Timer } | undefined
}

class QueuedSession implements Session {
  readonly agentId: string
  declare readonly boot?: Boot
  readonly openedMs: number
  pusher: Pusher | undefined
  readonly #connection: SessionConnection
  readonly #clock: Clock
  readonly #counts: DeliveryCounts
  readonly #onEnd: SessionOptions['onEnd']
  #backlog: Backlog | undefined
  #isEnded = false

  constructor(options: SessionOptions) {
    this.agentId = options.agentId
    this.openedMs = options.clock.monotonicMs()
    if (options.boot !== undefined) this.boot = options.boot
    this.#connection = options.connection
    this.#clock = options.clock
    this.#counts = options.counts ?? new DeliveryCounts()
    this.#onEnd = options.onEnd
    this.#counts.streamsAccepted++
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  send(frame: Frame): void {
    if (this.#isEnded) return
    const backlog = this.#backlog
    if (backlog === undefined) {
      this.#write(frame)
      return
    }
    if (backlog.bytes + frame.bytes.length > limits.STREAM_QUEUE_BYTES_MAX) {
      this.#counts.overflows++
      this.#boundStall(backlog, limits.STREAM_OVERFLOW_MS_MAX)
      backlog.frames = []
      backlog.bytes = 0
      backlog.syncFrame = undefined
      this.sendSync('overflow')
      return
    }
    backlog.frames.push(frame)
    backlog.bytes += frame.bytes.length
  }

  sendSync(reason: string): void {
    const backlog = this.#backlog
    if (backlog?.syncFrame !== undefined) return
    const frame: Frame = { bytes: encodeSync(reason) }
    if (backlog !== undefined) backlog.syncFrame = frame
    this.send(frame)
  }

  sendBroadcast(bytes: Uint8Array): void {
    if (this.#backlog?.syncFrame === undefined) this.send({ bytes })
  }

  sendHeartbeat(bytes: Uint8Array): void {
    if (!this.#isEnded && this.#backlog === undefined) this.#write({ bytes })
  }

  drained(): void {
    const backlog = this.#backlog
    if (backlog === undefined) return
    unbindStall(backlog)
    for (let frame = backlog.frames.shift(); frame !== undefined; frame = backlog.frames.shift()) {
      backlog.bytes -= frame.bytes.length
      if (frame === backlog.syncFrame) backlog.syncFrame = undefined
      this.#write(frame)
      if (this.#isEnded || backlog.stall !== undefined) return
    }
    this.#backlog = undefined
  }

  end(why: StreamEnd = 'gone', last?: Uint8Array): void {
    if (this.#isEnded) return
    const backlog = this.#backlog
    if (last !== undefined && backlog === undefined) this.#connection.write(last)
    this.#isEnded = true
    this.#counts.streamsEnded[why]++
    if (backlog !== undefined) unbindStall(backlog)
    this.#backlog = undefined
    this.#connection.end()
    this.#onEnd?.(this)
  }

  #write(frame: Frame): void {
    const takesMore = this.#connection.write(frame.bytes)
    this.#counts.frames++
    this.#counts.frameBytes += frame.bytes.length
    frame.onWritten?.()
    if (takesMore || this.#isEnded) return
    this.#counts.stalls++
    this.#backlog ??= { frames: [], bytes: 0, syncFrame: undefined, stall: undefined }
    this.#boundStall(this.#backlog, limits.STREAM_STALL_MS_MAX)
  }

  /** A reader that stands still holds memory and shows a stream that delivers nothing; without it the agent falls back. */
  #boundStall(backlog: Backlog, stallMs: number): void {
    const deadlineMs = this.#clock.monotonicMs() + stallMs
    if (backlog.stall !== undefined && backlog.stall.deadlineMs <= deadlineMs) return
    unbindStall(backlog)
    backlog.stall = { deadlineMs, timer: this.#clock.setTimer(stallMs, () => this.end('stalled')) }
  }
}

function unbindStall(backlog: Backlog): void {
  backlog.stall?.timer.cancel()
  backlog.stall = undefined
}
