/** Reads an agent's socket into memory that it uses again, and bounds what may come and bring nothing. */
import { limits } from '@downlink/protocol'
import type { OnReadOpts, Socket } from 'node:net'
import { RawBytesError } from './connection-errors.ts'
import { giveReadBuffer, takeReadBuffer } from './read-buffers.ts'

/**
 * Reads one socket: one that was made with `onread` of this reader, or one that Node reads into memory of its own, as it
 * does what comes through another socket. What comes is handed over at once, and holds until `onBytes` returns.
 *
 * It counts the raw bytes of the connection: padding, chunk extensions and endless spaces cost no memory, but have no
 * end. Past `RAW_BYTES_WITHOUT_FRAME_MAX` the socket is destroyed with RawBytesError.
 */
export class SocketReader {
  readonly onread: OnReadOpts = {
    buffer: () => (this.buffer ??= takeReadBuffer()),
    callback: (count, buffer) => this.read(buffer.subarray(0, count)),
  }
  /** To be set before anything can come. */
  onBytes: (bytes: Uint8Array) => void = () => {}
  private buffer: Uint8Array<ArrayBuffer> | undefined
  private socket: Socket | undefined
  private bytesWithoutProgress = 0

  /** Begins; call it before anything can come. */
  attach(socket: Socket, isReadByNode: boolean): void {
    this.socket = socket
    if (isReadByNode) socket.on('data', (bytes) => this.read(bytes))
    socket.once('close', () => {
      if (this.buffer !== undefined) giveReadBuffer(this.buffer)
    })
  }

  /** Something of use came, or a request was written: the count begins again. */
  progressed(): void {
    this.bytesWithoutProgress = 0
  }

  /** False if nothing more is to be read. */
  private read(bytes: Uint8Array): boolean {
    const { socket } = this
    if (socket === undefined || socket.destroyed) return false
    this.bytesWithoutProgress += bytes.length
    if (this.bytesWithoutProgress > limits.RAW_BYTES_WITHOUT_FRAME_MAX) socket.destroy(new RawBytesError())
    else this.onBytes(bytes)
    return !socket.destroyed
  }
}
