/** Interprets the lines of an event stream as fields, comments and the ends of events, within bounds. */
import { SSE_RETRY_MS_MAX } from '../limits.ts'
import { SseLimitError } from './sse-error.ts'
import type { SseLimits } from './sse-error.ts'
import type { SseSink } from './sse-sink.ts'

const NUL = '\0'
const LF = 0x0a
const CR = 0x0d
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

/** Names and heartbeats are shorter; a longer line is not worth remembering. */
const KNOWN_LINE_BYTES_MAX = 64

/** How often a line that differs is remembered: those that carry a counter never come again. */
const LINES_PER_REMEMBERED = 8

/** A line of its kind, which is most often the next one too: comparing it costs less than decoding it. */
interface KnownLine {
  readonly bytes: Uint8Array
  /** Zero if nothing is remembered. */
  length: number
  value: string
  /** Lines that differed since this one was remembered. */
  misses: number
}

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
  /** Of the block: zero before it begins. */
  private blockLines = 0
  private blockBytes = 0
  private name = ''
  private dataLines = 0
  private data = ''
  private dataBytes = 0
  /** Of the stream: `id` outlives its block. */
  private id = ''
  private readonly knownName: KnownLine = unknownLine()
  private readonly knownComment: KnownLine = unknownLine()

  constructor(sink: SseSink, limits: SseLimits) {
    this.sink = sink
    this.lineBytesMax = limits.lineBytesMax
    this.eventBytesMax = limits.eventBytesMax
    this.blockBytesMax = limits.blockBytesMax
    this.blockLinesMax = limits.blockLinesMax
  }

  /** Drops the incomplete block and ends all calls to the sink. */
  close(): void {
    this.stopped = true
    this.reset()
  }

  /** Reads the line at `bytes[at]` if it is one that was read before; returns its length, or 0 if it is not. */
  readKnownLine(bytes: Uint8Array, at: number, to: number): number {
    const first = bytes[at]
    if (first === COLON) {
      const known = this.knownComment
      if (!isAt(known, bytes, at, to)) return 0
      if (this.blockLines > 0) this.count(known.length)
      this.sink.comment(known.value)
      return known.length
    }
    if (first === LETTER_E) {
      const known = this.knownName
      if (!isAt(known, bytes, at, to)) return 0
      this.count(known.length)
      this.name = known.value
      return known.length
    }
    return 0
  }

  /** Reads the line `bytes[at, end)`, not empty, which is `text[charAt, charEnd)`. */
  readLine(bytes: Uint8Array, at: number, end: number, text: string, charAt: number, charEnd: number): void {
    if (end - at > this.lineBytesMax) {
      throw new SseLimitError('sse_line_too_long', this.lineBytesMax)
    }
    const first = bytes[at]
    if (first === COLON) {
      if (this.blockLines > 0) this.count(end - at)
      const comment = text.substring(charAt + valueStart(bytes, at, end) - at, charEnd)
      remember(this.knownComment, bytes, at, end, comment)
      this.sink.comment(comment)
      return
    }
    this.count(end - at)
    let start = -1
    // What stands before a value is ASCII, so its bytes are its characters.
    if (first === LETTER_D) {
      start = fieldValueStart(DATA, bytes, at, end)
      if (start !== -1) this.addData(text.substring(charAt + start - at, charEnd), end - start)
    } else if (first === LETTER_E) {
      start = fieldValueStart(EVENT, bytes, at, end)
      if (start === -1) return
      this.name = text.substring(charAt + start - at, charEnd)
      remember(this.knownName, bytes, at, end, this.name)
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

  /** Reads a `data` line of `lineBytes` whose value has `valueBytes`. */
  readData(value: string, lineBytes: number, valueBytes: number): void {
    if (lineBytes > this.lineBytesMax) throw new SseLimitError('sse_line_too_long', this.lineBytesMax)
    this.count(lineBytes)
    this.addData(value, valueBytes)
  }

  /** Reads an empty line: dispatches the event, if there is one. */
  endBlock(): void {
    if (this.blockLines === 0) return
    const name = this.name === '' ? 'message' : this.name
    const data = this.data
    const hasData = this.dataLines > 0
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

  private addData(value: string, valueBytes: number): void {
    this.dataBytes += this.dataLines === 0 ? valueBytes : valueBytes + 1
    if (this.dataBytes > this.eventBytesMax) {
      throw new SseLimitError('sse_event_too_large', this.eventBytesMax)
    }
    this.data = this.dataLines === 0 ? value : `${this.data}\n${value}`
    this.dataLines += 1
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
    this.name = ''
    this.data = ''
    this.dataLines = 0
    this.dataBytes = 0
  }
}

function unknownLine(): KnownLine {
  return { bytes: new Uint8Array(KNOWN_LINE_BYTES_MAX), length: 0, value: '', misses: 0 }
}

function remember(known: KnownLine, bytes: Uint8Array, at: number, end: number, value: string): void {
  const length = end - at
  known.misses += 1
  if (length > KNOWN_LINE_BYTES_MAX) return
  if (known.length > 0 && known.misses < LINES_PER_REMEMBERED) return
  known.misses = 0
  for (let index = 0; index < length; index += 1) known.bytes[index] = bytes[at + index] as number
  known.length = length
  known.value = value
}

/** Whether `known` is the line at `bytes[at]`, compared from its end, where lines of one kind differ. */
function isAt(known: KnownLine, bytes: Uint8Array, at: number, to: number): boolean {
  const length = known.length
  if (length === 0 || at + length >= to) return false
  const lineEnd = bytes[at + length]
  if (lineEnd !== LF && lineEnd !== CR) return false
  for (let index = length - 1; index >= 0; index -= 1) {
    if (bytes[at + index] !== known.bytes[index]) return false
  }
  return true
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
