/** Where the body of a reply begins and ends in what comes: by its length, in chunks, or until the connection ends. */
import { limits } from '@downlink/protocol'
import { HeadTooLargeError, MalformedReplyError } from './connection-errors.ts'
import type { ReplyHead } from './reply-head.ts'

/** Takes one body out of the bytes of a connection. */
export interface BodyFraming {
  /** All of the body has come. */
  readonly isOver: boolean
  /** The body ends in order when the connection does, and only then. */
  readonly endsWithConnection: boolean
  /**
   * Hands what is body in `chunk` from `from` on to `onBytes`.
   * @returns where what follows the body begins, or the end of `chunk`.
   * @throws HeadTooLargeError for trailers, MalformedReplyError.
   */
  read(chunk: Uint8Array, from: number, onBytes: (bytes: Uint8Array) => void): number
}

/** How the body behind `head` is framed. A head that says so in two ways is refused. @throws MalformedReplyError */
export function framingOf({ statusCode, isOld, headers }: ReplyHead): BodyFraming {
  const encoding = headers['transfer-encoding']
  const length = headers['content-length']
  if (statusCode === 204 || statusCode === 304) return new LengthFraming(0)
  if (encoding !== undefined) {
    const isChunked = typeof encoding === 'string' && encoding.toLowerCase() === 'chunked'
    if (!isChunked || isOld || length !== undefined) {
      throw new MalformedReplyError('its transfer encoding is another than chunked, or beside a length')
    }
    return new ChunkedFraming()
  }
  if (length === undefined) return new LengthFraming(Infinity)
  if (typeof length !== 'string' || !/^\d{1,15}$/.test(length)) {
    throw new MalformedReplyError('its content length is no number')
  }
  return new LengthFraming(Number(length))
}

class LengthFraming implements BodyFraming {
  readonly endsWithConnection: boolean
  private left: number

  /** @param length - `Infinity` for a body that ends with the connection. */
  constructor(length: number) {
    this.left = length
    this.endsWithConnection = length === Infinity
  }

  get isOver(): boolean {
    return this.left === 0
  }

  read(chunk: Uint8Array, from: number, onBytes: (bytes: Uint8Array) => void): number {
    const end = Math.min(chunk.length, from + this.left)
    this.left -= end - from
    onBytes(chunk.subarray(from, end))
    return end
  }
}

const LF = 0x0a
const CR = 0x0d
const SEMICOLON = 0x3b
/** Of the size of one chunk: more could not be counted exactly. */
const SIZE_DIGITS_MAX = 13

type ChunkState =
  | 'size'
  | 'extension'
  | 'size end'
  | 'data'
  | 'data CR'
  | 'data LF'
  | 'trailer'
  | 'trailer end'
  | 'over'

class ChunkedFraming implements BodyFraming {
  readonly endsWithConnection = false
  private state: ChunkState = 'size'
  /** Of the chunk's data. */
  private left = 0
  private digits = 0
  private trailerBytes = 0
  private trailerLineBytes = 0

  get isOver(): boolean {
    return this.state === 'over'
  }

  read(chunk: Uint8Array, from: number, onBytes: (bytes: Uint8Array) => void): number {
    let at = from
    while (at < chunk.length && this.state !== 'over') {
      if (this.state === 'data') {
        const end = Math.min(chunk.length, at + this.left)
        this.left -= end - at
        if (this.left === 0) this.state = 'data CR'
        onBytes(chunk.subarray(at, end))
        at = end
      } else {
        this.state = this.step(this.state, chunk[at] as number)
        at += 1
      }
    }
    return at
  }

  private step(state: Exclude<ChunkState, 'data' | 'over'>, byte: number): ChunkState {
    switch (state) {
      case 'size':
        return this.size(byte)
      case 'extension':
        // Its bytes are bounded as all are that bring nothing.
        return byte === CR ? 'size end' : 'extension'
      case 'size end':
        this.digits = 0
        return expected(byte, LF, this.left === 0 ? 'trailer' : 'data')
      case 'data CR':
        return expected(byte, CR, 'data LF')
      case 'data LF':
        return expected(byte, LF, 'size')
      case 'trailer':
      case 'trailer end':
        return this.trailer(state, byte)
    }
  }

  private size(byte: number): ChunkState {
    const digit = hexDigit(byte)
    if (digit !== undefined && this.digits < SIZE_DIGITS_MAX) {
      this.digits += 1
      this.left = this.left * 16 + digit
      return 'size'
    }
    if (this.digits > 0 && byte === CR) return 'size end'
    if (this.digits > 0 && byte === SEMICOLON) return 'extension'
    throw malformed()
  }

  /** Trailers are dropped, and bounded as a head is. */
  private trailer(state: 'trailer' | 'trailer end', byte: number): ChunkState {
    this.trailerBytes += 1
    if (this.trailerBytes > limits.RESPONSE_HEADER_BYTES_MAX) throw new HeadTooLargeError()
    if (state === 'trailer') {
      if (byte === CR) return 'trailer end'
      if (byte === LF) throw malformed()
      this.trailerLineBytes += 1
      return 'trailer'
    }
    const isLast = this.trailerLineBytes === 0
    this.trailerLineBytes = 0
    return expected(byte, LF, isLast ? 'over' : 'trailer')
  }
}

function expected(byte: number, wanted: number, next: ChunkState): ChunkState {
  if (byte !== wanted) throw malformed()
  return next
}

function hexDigit(byte: number): number | undefined {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : undefined
}

function malformed(): MalformedReplyError {
  return new MalformedReplyError('its chunks are none')
}
