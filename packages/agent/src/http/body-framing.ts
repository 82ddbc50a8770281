/** Where the body of a reply begins and ends in what comes: by its length, in chunks, or until the connection ends. */
import { limits } from '@downlink/protocol'
import { isComplete, nextInExtension, type ExtensionState } from './chunk-extension.ts'
import { HeadTooLargeError, MalformedReplyError } from './connection-errors.ts'
import { headersOf, type ReplyHead } from './reply-head.ts'

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

/** How the body behind `head` is framed. A head that says so in two ways is refused, even where no body comes. @throws MalformedReplyError */
export function framingOf(head: ReplyHead): BodyFraming {
  const framing = saidFraming(head)
  return head.statusCode === 204 || head.statusCode === 304 ? new LengthFraming(0) : framing
}

function saidFraming({ isOld, headers }: ReplyHead): BodyFraming {
  const encoding = headers['transfer-encoding']
  const length = headers['content-length']
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
  private extension: ExtensionState = 'name begins'
  private trailers = ''

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
        return this.inExtension(byte)
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
    if (this.digits > 0 && byte === SEMICOLON) {
      this.extension = 'name begins'
      return 'extension'
    }
    throw malformed()
  }

  /** Its bytes are bounded as all are that bring nothing. */
  private inExtension(byte: number): ChunkState {
    if (byte === CR && isComplete(this.extension)) return 'size end'
    const next = nextInExtension(this.extension, byte)
    if (next === undefined) throw malformed()
    this.extension = next
    return 'extension'
  }

  /** Trailers are dropped, but bounded and read as strictly as a head is. */
  private trailer(state: 'trailer' | 'trailer end', byte: number): ChunkState {
    if (this.trailers.length === limits.RESPONSE_HEADER_BYTES_MAX) throw new HeadTooLargeError()
    this.trailers += String.fromCharCode(byte)
    if (state === 'trailer') {
      if (byte === LF) throw malformed()
      return byte === CR ? 'trailer end' : 'trailer'
    }
    const isLast = this.trailers === '\r\n' || this.trailers.endsWith('\r\n\r\n')
    if (isLast) checkTrailers(this.trailers)
    return expected(byte, LF, isLast ? 'over' : 'trailer')
  }
}

function expected(byte: number, wanted: number, next: ChunkState): ChunkState {
  if (byte !== wanted) throw malformed()
  return next
}

/** @throws MalformedReplyError for what is no header, and for one that says again where the body ends. */
function checkTrailers(text: string): void {
  const headers = headersOf(text.split('\r\n').slice(0, -2))
  if ('content-length' in headers || 'transfer-encoding' in headers) throw malformed()
}

function hexDigit(byte: number): number | undefined {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : undefined
}

function malformed(): MalformedReplyError {
  return new MalformedReplyError('its chunks are none')
}
