/** The connection of a stream as a bare socket: what is written goes out as it is, what comes in is thrown away. */
import type { Socket } from 'node:net'
import { limits, type Clock } from '@downlink/protocol'
import type { Session, SessionConnection } from './session.ts'

const STREAM = Symbol('the stream that the socket is')

interface ServedSocket extends Socket {
  [STREAM]?: StreamSocket
}

/** A session's connection. */
export class StreamSocket implements SessionConnection {
  readonly #socket: ServedSocket
  readonly #clock: Clock
  /** Of the connection's bytes in all. */
  readonly #inputBytesMax: number
  #session: Session | undefined
  #onClose: ((stream: StreamSocket) => void) | undefined

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket
    this.#clock = clock
    this.#inputBytesMax = socket.bytesRead + limits.STREAM_INPUT_BYTES_MAX
  }

  /**
   * Ends `session` when the connection ends, from whichever side.
   * @param onClose - called when nothing is left of it.
   */
  serve(session: Session, onClose: (stream: StreamSocket) => void): void {
    this.#session = session
    this.#onClose = onClose
    const socket = this.#socket
    socket[STREAM] = this
    socket.on('data', onData)
    socket.on('drain', onDrain)
    socket.on('end', onEnd)
    socket.on('error', onEnd)
    socket.on('close', onClosed)
  }

  write(bytes: Uint8Array): boolean {
    return this.#socket.write(bytes)
  }

  end(): void {
    const socket = this.#socket
    // Waiting for a reader that stands still would keep its bytes for good.
    if (socket.writableNeedDrain) socket.destroy()
    else socket.destroySoon()
    if (socket.destroyed || socket.writableLength === 0) return
    const timer = this.#clock.setTimer(limits.REPLY_SEND_MS_MAX, () => socket.destroy())
    socket.once('close', () => timer.cancel())
  }

  destroy(): void {
    this.#socket.destroy()
  }

  drained(): void {
    this.#session?.drained()
  }

  /** An agent says nothing on a stream. */
  assertSilent(): void {
    if (this.#socket.bytesRead > this.#inputBytesMax) this.#socket.destroy()
  }

  ended(): void {
    this.#session?.end()
  }

  closed(): void {
    this.ended()
    this.#onClose?.(this)
  }
}

// One function for all sockets: closures of each would cost more than the session, and so would an entry of a map.
function onData(this: ServedSocket): void {
  this[STREAM]?.assertSilent()
}

function onDrain(this: ServedSocket): void {
  this[STREAM]?.drained()
}

function onEnd(this: ServedSocket): void {
  this[STREAM]?.ended()
}

function onClosed(this: ServedSocket): void {
  this[STREAM]?.closed()
}
