/** Reads an agent's socket into memory that it uses again, and bounds what may come: heads by bytes and lines, the rest by what brings nothing. */
import { limits } from '@downlink/protocol'
import type { OnReadOpts, Socket } from 'node:net'
import { errors } from './undici-parts.ts'
import { giveReadBuffer, takeReadBuffer } from './read-buffers.ts'
import { ReplyHeads } from './reply-heads.ts'

/** The error of a connection that brought too many bytes and nothing in them. */
export class RawBytesError extends Error {
  readonly code = 'ERR_RAW_BYTES'
}

/** Counts the raw bytes of one connection: padding, chunk extensions and endless spaces cost no memory, but have no end. */
export interface ByteBound {
  /** Something came that is of use: the count begins again. It also does with every request that is written. */
  progressed(): void
}

/**
 * Reads one socket, made with `onread` of this reader. Bodies are handed over in the buffer that they were read into, at
 * once, so whoever takes them must be done with them before it returns. Heads are copied, as undici keeps parts of them.
 */
export class SocketReader implements ByteBound {
  readonly onread: OnReadOpts = {
    buffer: () => this.buffer,
    callback: (bytes) => this.read(bytes),
  }
  private buffer = takeReadBuffer()
  private socket: Socket | undefined
  private readonly heads = new ReplyHeads()
  private writtenBytes = 0
  private bytesWithoutProgress = 0

  /** Begins; call it before anything can come. */
  attach(socket: Socket): void {
    this.socket = socket
    socket.once('close', () => giveReadBuffer(this.buffer))
  }

  progressed(): void {
    this.bytesWithoutProgress = 0
  }

  /** False if nothing more is to be read for now. */
  private read(bytes: number): boolean {
    const socket = this.socket
    if (socket === undefined || socket.destroyed) return false
    if (socket.bytesWritten !== this.writtenBytes) {
      this.writtenBytes = socket.bytesWritten
      this.bytesWithoutProgress = 0
      this.heads.begin()
    }
    this.bytesWithoutProgress += bytes
    const fault = this.fault(bytes)
    if (fault === undefined) return this.handOver(socket, bytes)
    socket.destroy(fault)
    return false
  }

  private fault(bytes: number): Error | undefined {
    if (this.bytesWithoutProgress > limits.RAW_BYTES_WITHOUT_FRAME_MAX) {
      return rawBytesError()
    }
    this.heads.scan(this.buffer, bytes)
    return this.heads.isTooLarge ? new errors.HeadersOverflowError() : undefined
  }

  private handOver(socket: Socket, bytes: number): boolean {
    const bodyAt = this.heads.bodyAt
    if (bodyAt > 0) {
      socket.push(Buffer.from(this.buffer.subarray(0, bodyAt)))
      socket.emit('readable')
    }
    if (bodyAt < bytes) {
      socket.push(this.buffer.subarray(bodyAt, bytes))
      socket.emit('readable')
    }
    // Whoever did not take it yet still will.
    if (socket.readableLength > 0) this.buffer = takeReadBuffer()
    return socket.readableLength < socket.readableHighWaterMark
  }
}

/**
 * Bounds a socket that Node reads into memory of its own, as it does what comes through another socket.
 * @returns the count; past `RAW_BYTES_WITHOUT_FRAME_MAX` the socket is destroyed with {@link RawBytesError}.
 */
export function boundTunnel(socket: Socket): ByteBound {
  let readBytes = socket.bytesRead
  let writtenBytes = socket.bytesWritten
  const progressed = (): void => {
    readBytes = socket.bytesRead
  }
  socket.on('readable', () => {
    if (socket.bytesWritten !== writtenBytes) {
      writtenBytes = socket.bytesWritten
      progressed()
    } else if (socket.bytesRead - readBytes > limits.RAW_BYTES_WITHOUT_FRAME_MAX) {
      socket.destroy(rawBytesError())
    }
  })
  return { progressed }
}

function rawBytesError(): RawBytesError {
  return new RawBytesError(`More than ${limits.RAW_BYTES_WITHOUT_FRAME_MAX} bytes came and nothing in them.`)
}
