/** The errors of the SSE codec: a bound that a stream passed, and a frame that the encoder refuses to write. */
import { DownlinkError } from '../errors.ts'

/** Which bound of {@link SseLimits} a stream passed. */
export type SseLimitCode =
  | 'sse_line_too_long'
  | 'sse_event_too_large'
  | 'sse_block_too_large'
  | 'sse_block_too_many_lines'

/**
 * Bounds of one decoder. They and nothing else decide how much it can hold, whatever the other end sends.
 * Lengths are those of the bytes received, so that a limit means the same in every language.
 */
export interface SseLimits {
  /** Bytes of one line without its end. @defaultValue `SSE_LINE_BYTES_MAX` */
  readonly lineBytesMax: number
  /** Bytes of the data of one event, its lines joined by LF. @defaultValue `SSE_EVENT_BYTES_MAX` */
  readonly eventBytesMax: number
  /** Bytes of the lines of one block, one more for each line end. @defaultValue `SSE_BLOCK_BYTES_MAX` */
  readonly blockBytesMax: number
  /** Lines of one block. @defaultValue `SSE_BLOCK_LINES_MAX` */
  readonly blockLinesMax: number
}

/** A stream passed a bound. Close it: what follows cannot be read, and a new stream starts clean. */
export class SseLimitError extends DownlinkError {
  declare readonly code: SseLimitCode
  /** The bound that was passed, in bytes or lines. */
  readonly limit: number
  constructor(code: SseLimitCode, limit: number) {
    super(code, limitMessage(code, limit), { retry: 'backoff' })
    this.name = 'SseLimitError'
    this.limit = limit
  }
}

/** The encoder refused a frame that a reader would misread, drop, or end its connection for. */
export class SseEncodeError extends DownlinkError {
  declare readonly code: 'sse_encode_refused'
  constructor(message: string) {
    super('sse_encode_refused', message, { retry: 'never' })
    this.name = 'SseEncodeError'
  }
}

function limitMessage(code: SseLimitCode, limit: number): string {
  switch (code) {
    case 'sse_line_too_long':
      return `A line of the event stream is longer than ${limit} bytes. Close the stream; the sender must split its data into shorter lines or events.`
    case 'sse_event_too_large':
      return `The data of an event is larger than ${limit} bytes. Close the stream; the sender must split it into several events.`
    case 'sse_block_too_large':
      return `A block of the event stream is larger than ${limit} bytes and has not ended. Close the stream; the sender must end each event with an empty line.`
    case 'sse_block_too_many_lines':
      return `A block of the event stream has more than ${limit} lines and has not ended. Close the stream; the sender must end each event with an empty line.`
  }
}
