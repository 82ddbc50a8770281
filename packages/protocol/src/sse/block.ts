/** Interprets the lines of an event stream as fields, comments and the ends of events, within bounds. */
import { SSE_RETRY_MS_MAX } from '../limits.ts'
import { textOf } from './bytes.ts'
import { KnownLine } from './known-line.ts'
import { LargeData } from './large-data.ts'
import { SseLimitError } from './sse-error.ts'
import type { SseLimits } from './sse-error.ts'
import type { SseSink } from './sse-sink.ts'

const NUL = '\0'
/** Up to so many lines and bytes, data is joined as strings; beyond, as bytes: parts would cost far more than those. */
const SMALL_DATA_LINES_MAX = 1_024
const SMALL_DATA_BYTES_MAX = 16_384
const NAME_DEFAULT = 'message'
const LF = 0x0a
const SPACE = 0x20
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const LETTER_D = 0x64
const LETTER_E = 0x65
const LETTER_I = 0x69
const LETTER_R = 0x72

const DATA: readonly number[] = [0x64, 0x61, 0x74, 0x61]
const EVENT: readonly number[] = [0x65, 0x76, 0x65, 0x6e, 0x74]
const ID: readonly number[] = [0x69, 0x64]
const RETRY: readonly number[] = [0x72, 0x65, 0x74, 0x72, 0x79]

/**
 * The block being read: what its lines have said so far.
 *
 * A block begins with its first line that is neither empty nor a comment, and ends with an empty line. From its
 * beginning every line counts, comments included, so that pings cannot keep a block alive for ever; between
 * blocks comments are free, as they leave nothing behind.
 */
export class SseBlock {
  /** The sink paused or closed the decoder while lines are being read: it hears no more of them for now. */
  stopped = false
  private readonly sink: SseSink
  private readonly lineBytesMax: number
  private readonly eventBytesMax: number
  private readonly blockBytesMax: number
  private readonly blockLinesMax: number
  /** A block of fewer bytes passes no bound but that of lines. */
  private readonly smallBlockBytesMax: number
  /** Of the block: zero before it begins. */
  private blockLines = 0
  private blockBytes = 0
  private name = NAME_DEFAULT
  private dataLines = 0
  /** The data lines, joined by LF, unless they are large; whether one is behind the last too. */
  private data = ''
  private dataEndsInLf = false
  private isLarge = false
  private readonly largeData = new LargeData()
  private dataBytes = 0
  /** Of the stream: `id` outlives its block. */
  private id = ''
  private readonly knownName = new KnownLine()
  private readonly knownComment = new KnownLine()
  /** Of the last comment whose end was looked for. */
  private lastCommentBytes = 0

  constructor(sink: SseSink, limits: SseLimits) {
    this.sink = sink
    this.lineBytesMax = limits.lineBytesMax
    this.eventBytesMax = limits.eventBytesMax
    this.blockBytesMax = limits.blockBytesMax
    this.blockLinesMax = limits.blockLinesMax
    this.smallBlockBytesMax = Math.min(this.lineBytesMax, this.eventBytesMax, this.blockBytesMax)
  }

  /** Bytes held of the incomplete event. */
  get retainedBytes(): number {
    return this.isLarge ? this.largeData.heldBytes : this.dataBytes
  }

  /** Drops the incomplete block and ends all calls to the sink. */
  close(): void {
    this.stopped = true
    this.reset()
  }

  /** Reads the `event` line at `at` if it is the one that is remembered; returns where the next line begins, or `at`. */
  readKnownName(view: DataView, at: number, to: number): number {
    const known = this.knownName
    if (!known.isAt(view, at, to)) return at
    this.count(known.length)
    this.name = known.value
    return at + known.length + 1
  }

  /** Reads the comments from `from` on that are the one that is remembered; returns where the next line begins. */
  readKnownComments(view: DataView, from: number, to: number): number {
    const known = this.knownComment
    let at = from
    while (!this.stopped && known.isAt(view, at, to)) {
      if (this.blockLines > 0) this.count(known.length)
      at += known.length + 1
      // Between blocks an empty line says nothing.
      if (this.blockLines === 0 && at < to && view.getUint8(at) === LF) at += 1
      this.sink.comment(known.value)
    }
    return at
  }

  /**
   * Reads the comments from `from` on, which is `charAt` in `text`, that are as long as the last one and printable ASCII,
   * as heartbeats with a counter are: their ends need not be looked for. Returns where the next line begins, as many
   * characters further as bytes.
   */
  readLikeComments(view: DataView, from: number, to: number, text: string, charAt: number): number {
    const length = this.lastCommentBytes
    let at = from
    while (
      !this.stopped &&
      at + length < to &&
      view.getUint8(at) === COLON &&
      view.getUint8(at + length) === LF &&
      isPrintable(view, at, length)
    ) {
      if (this.blockLines > 0) this.count(length)
      const valueAt = charAt + at - from + (view.getUint8(at + 1) === SPACE ? 2 : 1)
      const comment = text.substring(valueAt, charAt + at - from + length)
      at += length + 1
      if (this.blockLines === 0 && at < to && view.getUint8(at) === LF) at += 1
      this.sink.comment(comment)
    }
    return at
  }

  /** Reads the comment `bytes[at, end)`, whose text is given. */
  readComment(bytes: Uint8Array, at: number, end: number, comment: string): void {
    if (end - at > this.lineBytesMax) throw new SseLimitError('sse_line_too_long', this.lineBytesMax)
    if (this.blockLines > 0) this.count(end - at)
    this.lastCommentBytes = end - at
    if (this.knownComment.wants(end - at))
      learn(this.knownComment, bytes, at, end, valueStart(bytes, at, end))
    this.sink.comment(comment)
  }

  /** Reads the line `bytes[at, end)`, not empty, which is `text[charAt, charEnd)`. */
  readLine(bytes: Uint8Array, at: number, end: number, text: string, charAt: number, charEnd: number): void {
    if (end - at > this.lineBytesMax) {
      throw new SseLimitError('sse_line_too_long', this.lineBytesMax)
    }
    const first = bytes[at]
    if (first === COLON) {
      if (this.blockLines > 0) this.count(end - at)
      const valueAt = valueStart(bytes, at, end)
      const comment = text.substring(charAt + valueAt - at, charEnd)
      if (this.knownComment.wants(end - at)) learn(this.knownComment, bytes, at, end, valueAt)
      this.sink.comment(comment)
      return
    }
    this.count(end - at)
    let start = -1
    // What stands before a value is ASCII, so its bytes are its characters.
    if (first === LETTER_D) {
      start = fieldValueStart(DATA, bytes, at, end)
      if (start !== -1) this.addData(text.substring(charAt + start - at, charEnd), false, bytes, start, end)
    } else if (first === LETTER_E) {
      start = fieldValueStart(EVENT, bytes, at, end)
      if (start === -1) return
      this.name = start === end ? NAME_DEFAULT : text.substring(charAt + start - at, charEnd)
      if (start < end && this.knownName.wants(end - at)) learn(this.knownName, bytes, at, end, start)
    } else if (first === LETTER_I) {
      start = fieldValueStart(ID, bytes, at, end)
      if (start === -1) return
      const id = text.substring(charAt + start - at, charEnd)
      if (!id.includes(NUL)) this.id = id
    } else if (first === LETTER_R) {
      start = fieldValueStart(RETRY, bytes, at, end)
      if (start !== -1) this.readRetry(bytes, start, end)
    }
  }

  /** Reads the `data` line `bytes[at, end)`, whose value begins at `start`, and in `value` maybe has its LF. */
  readData(
    value: string,
    endsInLf: boolean,
    bytes: Uint8Array,
    at: number,
    start: number,
    end: number,
  ): void {
    if (end - at > this.lineBytesMax) throw new SseLimitError('sse_line_too_long', this.lineBytesMax)
    this.count(end - at)
    this.addData(value, endsInLf, bytes, start, end)
  }

  /**
   * Reads a `data` line of `lineBytes` that is its event's only one, its value without an LF, and the empty line behind
   * it; or returns false and reads nothing, where a bound may be near.
   */
  readOnlyData(value: string, lineBytes: number): boolean {
    if (
      this.dataLines > 0 ||
      this.blockLines >= this.blockLinesMax ||
      this.blockBytes + lineBytes >= this.smallBlockBytesMax
    )
      return false
    const name = this.name
    this.name = NAME_DEFAULT
    this.blockLines = 0
    this.blockBytes = 0
    this.sink.event(name, value, this.id)
    return true
  }

  /** Reads an empty line: dispatches the event, if there is one. */
  endBlock(): void {
    if (this.blockLines === 0) return
    const name = this.name
    const hasData = this.dataLines > 0
    const data = this.joinedData()
    // Before the sink is called, as it may close the decoder or throw.
    this.reset()
    if (hasData) this.sink.event(name, data, this.id)
  }

  private count(lineBytes: number): void {
    this.blockLines += 1
    this.blockBytes += lineBytes + 1
    if (this.blockLines > this.blockLinesMax) {
      throw new SseLimitError('sse_block_too_many_lines', this.blockLinesMax)
    }
    if (this.blockBytes > this.blockBytesMax) {
      throw new SseLimitError('sse_block_too_large', this.blockBytesMax)
    }
  }

  private addData(value: string, endsInLf: boolean, bytes: Uint8Array, start: number, end: number): void {
    const isFirst = this.dataLines === 0
    this.dataBytes += isFirst ? end - start : end - start + 1
    if (this.dataBytes > this.eventBytesMax) {
      throw new SseLimitError('sse_event_too_large', this.eventBytesMax)
    }
    this.dataLines += 1
    if (this.isLarge) {
      this.largeData.addLine(bytes, start, end)
    } else if (isFirst) {
      this.data = value
      this.dataEndsInLf = endsInLf
    } else if (this.dataLines > SMALL_DATA_LINES_MAX || this.dataBytes > SMALL_DATA_BYTES_MAX) {
      this.largeData.begin(this.joinedData())
      this.data = ''
      this.isLarge = true
      this.largeData.addLine(bytes, start, end)
    } else {
      this.data = this.dataEndsInLf ? this.data + value : `${this.data}\n${value}`
      this.dataEndsInLf = endsInLf
    }
  }

  private joinedData(): string {
    if (this.isLarge) return this.largeData.text()
    const data = this.data
    if (this.dataEndsInLf) return data.substring(0, data.length - 1)
    return this.dataLines > 1 ? joined(data) : data
  }

  private readRetry(bytes: Uint8Array, start: number, end: number): void {
    // An empty value is no integer.
    if (start === end) return
    let retryMs = 0
    for (let at = start; at < end; at += 1) {
      const digit = bytes[at] as number
      if (digit < ZERO || digit > NINE) return
      // Clamped at each digit, so that it stays an exact integer however many follow.
      retryMs = Math.min(SSE_RETRY_MS_MAX, retryMs * 10 + (digit - ZERO))
    }
    this.sink.retry?.(retryMs)
  }

  private reset(): void {
    this.blockLines = 0
    this.blockBytes = 0
    this.name = NAME_DEFAULT
    this.data = ''
    this.dataEndsInLf = false
    this.dataLines = 0
    this.dataBytes = 0
    if (this.isLarge) {
      this.isLarge = false
      this.largeData.release()
    }
  }
}

/** Where the value of the line `bytes[at, end)` begins if its field is called `name`; otherwise -1. */
function fieldValueStart(name: readonly number[], bytes: Uint8Array, at: number, end: number): number {
  const colon = at + name.length
  if (colon > end) return -1
  for (let index = 1; index < name.length; index += 1) {
    if (bytes[at + index] !== name[index]) return -1
  }
  if (colon === end) return end
  return bytes[colon] === COLON ? valueStart(bytes, colon, end) : -1
}

function valueStart(bytes: Uint8Array, colon: number, end: number): number {
  const start = colon + 1
  return start < end && bytes[start] === SPACE ? start + 1 : start
}

/** Remembers a line, if it is ASCII, whose value begins at `valueAt`. */
function learn(known: KnownLine, bytes: Uint8Array, at: number, end: number, valueAt: number): void {
  // A text of its own, so that no other is pinned for as long as it is remembered.
  const value = valueAt === end ? '' : textOf(bytes, valueAt, end)
  if (value.length === end - valueAt) known.learn(bytes, at, end, value)
}

/** Whether the `length` bytes at `at` are four or more, and none of them is of a control character or beyond ASCII. */
function isPrintable(view: DataView, at: number, length: number): boolean {
  const lastAt = at + length - 4
  if (lastAt < at) return false
  let some = view.getInt32(lastAt)
  // A byte that has none of these two bits is a control character's.
  let all = some | (some << 1)
  for (let wordAt = at; wordAt < lastAt; wordAt += 4) {
    const word = view.getInt32(wordAt)
    some |= word
    all &= word | (word << 1)
  }
  return (all & 0x40404040) === 0x40404040 && (some & 0x80808080) === 0
}

/** `text` as a string of its own, which pins none of the texts that it was joined from. */
function joined(text: string): string {
  return `${text}\n`.substring(0, text.length)
}
