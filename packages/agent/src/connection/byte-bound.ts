/** Bounds what a connection may bring without bringing anything: padding, chunk extensions and endless spaces cost no memory, but have no end. */
import { limits } from '@downlink/protocol'
import type { Socket } from 'node:net'

/** The error of a connection that brought too many bytes and nothing in them. */
export class RawBytesError extends Error {
  readonly code = 'ERR_RAW_BYTES'
}

/** Counts the raw bytes of one connection. */
export interface ByteBound {
  /** Something came that is of use: the count begins again. It also does with every request that is written. */
  progressed(): void
}

/** Destroys `socket` with {@link RawBytesError} once more than `RAW_BYTES_WITHOUT_FRAME_MAX` came without progress. */
export function boundBytes(socket: Socket): ByteBound {
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
      socket.destroy(
        new RawBytesError(`More than ${limits.RAW_BYTES_WITHOUT_FRAME_MAX} bytes came and nothing in them.`),
      )
    }
  })
  return { progressed }
}
