/** Decodes an event stream (WHATWG HTML, "Server-sent events") from bytes, push-based and within bounds. */
import {
  SSE_BLOCK_BYTES_MAX,
  SSE_BLOCK_LINES_MAX,
  SSE_EVENT_BYTES_MAX,
  SSE_LINE_BYTES_MAX,
} from '../limits.ts'
import { SseBlock } from './block.ts'
import { indexOfByte, lastIndexOfByte } from './bytes.ts'
import { HeldLine } from './held-line.ts'
import { SseLines } from './lines.ts'
import { SseLimitError } from './sse-error.ts'
import type { SseLimits } from './sse-error.ts'
import type { SseSink } from './sse-sink.ts'

/** Decoder of one stream; make a new one for each connection. */
export interface SseDecoder {
  /**
   * Reads the next bytes, split anywhere, and calls the sink for all that they complete. Keeps no reference to `chunk`.
   * Not to be called from within the sink.
   * @returns true; or false if the sink paused the decoder, which then keeps what is unread for `resume`.
   * @throws SseLimitError if the stream passed a bound. From then on every push throws the same error.
   * @throws Error if the decoder is paused.
   */
  push(chunk: Uint8Array): boolean
  /**
   * For the sink: after this call it hears nothing more until `resume`. So a consumer takes as many events as it has
   * room for and leaves the others undecoded: nothing is copied, and the chunk must not be changed meanwhile.
   */
  pause(): void
  /** Reads on where the sink paused, and returns or throws as `push` does; the sink may pause again. */
  resume(): boolean
  /** Drops an incomplete last block. From then on nothing is delivered and bytes are ignored; the sink may call it too. */
  end(): void
}

const LF = 0x0a
const CR = 0x0d
const BOM: Uint8Array = Uint8Array.of(0xef, 0xbb, 0xbf)

/** Up to this size a plain loop costs less than the calls that make larger chunks cheap. */
const SMALL_CHUNK_BYTES_MAX = 64

/**
 * Makes a decoder that calls `sink` for each event, comment and `retry`.
 * Exact by the standard in all that a page can see, but reports at most `SSE_RETRY_MS_MAX` for `retry`.
 * Time is linear in the input however it is split; memory is bounded by `limits` alone.
 * @throws RangeError if a limit is not a positive integer.
 */
export function createSseDecoder(sink: SseSink, limits: Partial<SseLimits> = {}): SseDecoder {
  return new ByteDecoder(sink, {
    lineBytesMax: checked(limits.lineBytesMax, SSE_LINE_BYTES_MAX),
    eventBytesMax: checked(limits.eventBytesMax, SSE_EVENT_BYTES_MAX),
    blockBytesMax: checked(limits.blockBytesMax, SSE_BLOCK_BYTES_MAX),
    blockLinesMax: checked(limits.blockLinesMax, SSE_BLOCK_LINES_MAX),
  })
}

function checked(limit: number | undefined, byDefault: number): number {
  const value = limit ?? byDefault
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new RangeError(
    `An SSE limit is ${value}; it must be a positive integer. Leave it out for its default, ${byDefault}.`,
  )
}

/** Cuts chunks into runs of whole lines, and holds the incomplete line between them. @internal */
export class ByteDecoder implements SseDecoder {
  private readonly block: SseBlock
  private readonly lines: SseLines
  private readonly lineBytesMax: number
  private ended = false
  private failed = false
  private failure: unknown
  /** Bytes of the BOM seen at the start of the stream; -1 once its start is past. */
  private bomBytes = 0
  /** The last byte was a CR: an LF right behind it belongs to the same line end. */
  private afterCr = false
  private readonly held: HeldLine
  /** The chunk that the sink paused in, unread from `restAt`. */
  private rest: Uint8Array | undefined
  private restAt = 0
  /** Where the whole lines of `rest` end, so that it is looked for once; -1 if they are read byte by byte. */
  private restLinesTo = -1

  constructor(sink: SseSink, limits: SseLimits) {
    this.block = new SseBlock(sink, limits)
    this.lines = new SseLines(this.block, limits.lineBytesMax)
    this.held = new HeldLine(limits.lineBytesMax)
    this.lineBytesMax = limits.lineBytesMax
  }

  /** Bytes kept between chunks: the memory of the incomplete line, and the data of the incomplete event. */
  get retainedBytes(): number {
    return this.held.bytes.length + this.block.retainedBytes
  }

  push(chunk: Uint8Array): boolean {
    if (this.failed) throw this.failure
    if (this.ended) return true
    if (this.block.stopped) {
      throw new Error(
        'The SSE decoder is paused and has not read all of the last chunk. Call resume() first.',
      )
    }
    try {
      const at = this.bomBytes === -1 ? 0 : this.skipBom(chunk)
      if (chunk.length - at <= SMALL_CHUNK_BYTES_MAX) this.readSmallChunk(chunk, at)
      else this.readChunk(chunk, at)
    } catch (error) {
      throw this.fail(error)
    }
    return this.ended || !this.block.stopped
  }

  pause(): void {
    this.block.stopped = true
  }

  resume(): boolean {
    if (this.failed) throw this.failure
    if (this.ended) return true
    this.block.stopped = false
    const chunk = this.rest
    if (chunk === undefined) return true
    this.rest = undefined
    try {
      if (this.restLinesTo === -1) this.readSmallChunk(chunk, this.restAt)
      else this.holdTail(chunk, this.lines.read(chunk, this.restAt, this.restLinesTo), this.restLinesTo)
    } catch (error) {
      throw this.fail(error)
    }
    return this.ended || !this.block.stopped
  }

  end(): void {
    this.ended = true
    this.held.release()
    this.rest = undefined
    this.block.close()
  }

  private fail(error: unknown): unknown {
    this.failed = true
    this.failure = error
    this.end()
    return error
  }

  /** The sink paused or ended the decoder: keeps `chunk`, unread from `at`, for `resume`. */
  private stop(chunk: Uint8Array, at: number, linesTo: number): void {
    if (this.ended) return
    this.rest = chunk
    this.restAt = at
    this.restLinesTo = linesTo
  }

  private skipBom(chunk: Uint8Array): number {
    let at = 0
    while (at < chunk.length && this.bomBytes < BOM.length && chunk[at] === BOM[this.bomBytes]) {
      at += 1
      this.bomBytes += 1
    }
    if (this.bomBytes === BOM.length) {
      this.bomBytes = -1
    } else if (at < chunk.length) {
      // No BOM after all: what looked like one begins the first line.
      this.hold(BOM, 0, this.bomBytes)
      this.bomBytes = -1
    }
    return at
  }

  private readSmallChunk(chunk: Uint8Array, from: number): void {
    for (let at = from; at < chunk.length; at += 1) {
      if (this.block.stopped) {
        this.stop(chunk, at, -1)
        return
      }
      const byte = chunk[at] as number
      if (byte === LF) {
        if (this.afterCr) this.afterCr = false
        else this.readHeld()
      } else if (byte === CR) {
        this.afterCr = true
        this.readHeld()
      } else {
        this.afterCr = false
        this.held.add(byte)
      }
    }
    if (this.held.length > this.lineBytesMax) throw this.lineTooLong()
  }

  /** Reads a chunk of any size: ends the held line, reads all whole lines, holds the rest. */
  private readChunk(chunk: Uint8Array, from: number): void {
    let at = from
    if (this.afterCr) {
      this.afterCr = false
      if (chunk[at] === LF) at += 1
    }
    const cr = indexOfByte(chunk, CR, at)
    const to = lastLineEnd(chunk, at, cr) + 1
    if (to <= at) {
      this.hold(chunk, at, chunk.length)
      return
    }
    if (this.held.length > 0) at = this.readFromHeld(chunk, at, cr)
    this.lines.begin(cr === -1 ? chunk.length : cr)
    if (at < to && !this.block.stopped) at = this.lines.read(chunk, at, to)
    this.holdTail(chunk, at, to)
  }

  /** Holds what is behind the whole lines `chunk[at, to)`, unless the sink stopped before. */
  private holdTail(chunk: Uint8Array, at: number, to: number): void {
    if (this.block.stopped) {
      this.stop(chunk, at, to)
      return
    }
    this.afterCr = to === chunk.length && chunk[to - 1] === CR
    this.hold(chunk, to, chunk.length)
  }

  /** Reads the held line, which ends in `chunk` behind `at`; returns where the next one begins. */
  private readFromHeld(chunk: Uint8Array, at: number, cr: number): number {
    const end = firstLineEnd(chunk, at, cr)
    this.hold(chunk, at, end)
    this.readHeld()
    return chunk[end] === CR && chunk[end + 1] === LF ? end + 2 : end + 1
  }

  private readHeld(): void {
    const { bytes, view, length } = this.held
    if (length > this.lineBytesMax) throw this.lineTooLong()
    this.held.length = 0
    if (length === 0) {
      this.block.endBlock()
    } else {
      bytes[length] = LF
      this.lines.readOne(bytes, view, length)
    }
  }

  private hold(chunk: Uint8Array, from: number, to: number): void {
    if (this.held.length + to - from > this.lineBytesMax) throw this.lineTooLong()
    if (from < to) this.held.append(chunk, from, to)
  }

  private lineTooLong(): SseLimitError {
    return new SseLimitError('sse_line_too_long', this.lineBytesMax)
  }
}

/** Index of the first LF or CR from `from`, where there is one; `cr` is that of the first CR, or -1. */
function firstLineEnd(chunk: Uint8Array, from: number, cr: number): number {
  const near = Math.min(from + SMALL_CHUNK_BYTES_MAX, chunk.length)
  for (let at = from; at < near; at += 1) if (chunk[at] === LF || chunk[at] === CR) return at
  const lf = indexOfByte(chunk, LF, near)
  return lf === -1 || (cr !== -1 && cr < lf) ? cr : lf
}

/** Index of the last LF or CR from `from`, or -1; `cr` is that of the first CR, or -1. */
function lastLineEnd(chunk: Uint8Array, from: number, cr: number): number {
  const near = Math.max(from, chunk.length - SMALL_CHUNK_BYTES_MAX)
  let at = chunk.length - 1
  for (; at >= near; at -= 1) if (chunk[at] === LF || chunk[at] === CR) return at
  if (at < from) return -1
  const last = Math.max(lastIndexOfByte(chunk, LF, at), cr === -1 ? -1 : lastIndexOfByte(chunk, CR, at))
  return last < from ? -1 : last
}
