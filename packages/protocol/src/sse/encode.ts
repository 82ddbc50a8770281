/** Encodes frames of an event stream: events, comments and `retry`, each a whole block ended by an empty line. */
import {
  SSE_BLOCK_LINES_MAX,
  SSE_DATA_LINE_BYTES_MAX,
  SSE_EVENT_BYTES_MAX,
  SSE_RETRY_MS_MAX,
} from '../limits.ts'
import { SseEncodeError } from './sse-error.ts'

/** One event to be written. */
export interface SseEventFrame {
  /** The event's name, not empty, without CR, LF or NUL; `message` for an event that needs none. */
  readonly event: string
  /** Not blank. Each CR, LF or CRLF in it ends a `data` line, so the reader receives LF for it. */
  readonly data: string
  /** Without CR, LF or NUL; the empty string makes the reader forget the last id. */
  readonly id?: string
  /** Integer, 0 to `SSE_RETRY_MS_MAX` ms. */
  readonly retryMs?: number
}

const LINE_END = /\r\n|\r|\n/
/** `event`, `id` and `retry` share a block's lines with its data. */
const LINES_BESIDE_DATA = 3
/** Texts below a third of a limit in UTF-16 units need no counting of bytes. */
const UTF8_BYTES_PER_UNIT_MAX = 3
const SHOWN_CHARS_MAX = 64
const utf8 = new TextEncoder()

/**
 * The bytes of one event, always within what an original agent reads. Lone surrogates become U+FFFD.
 * @throws SseEncodeError if a reader would misread the frame, drop it, or end its connection for it.
 */
export function encodeSseEvent(frame: SseEventFrame): Uint8Array {
  const { event, data, id, retryMs } = frame
  if (event === '') throw new SseEncodeError('The event has an empty name. Name it, or send `message`.')
  // Originals trim data and drop an event that has none left.
  if (data.trim() === '') {
    throw new SseEncodeError(
      `The data of event ${shown(event)} is blank, and original agents drop such an event. Send \`{}\`.`,
    )
  }
  let text = `event: ${singleLine('name', event)}\n`
  if (id !== undefined) text += `id: ${singleLine('id', id)}\n`
  if (retryMs !== undefined) text += retryLine(retryMs)
  const lines = LINE_END.test(data) ? data.split(LINE_END) : [data]
  checkData(event, lines)
  for (const line of lines) text += `data: ${line}\n`
  return utf8.encode(`${text}\n`)
}

/**
 * The bytes of a comment; each line of `text` becomes a comment line.
 * @throws SseEncodeError if a line is longer than `SSE_DATA_LINE_BYTES_MAX` bytes.
 */
export function encodeSseComment(text: string): Uint8Array {
  const lines = LINE_END.test(text) ? text.split(LINE_END) : [text]
  let frame = ''
  for (const line of lines) {
    checkLine('A comment', line)
    frame += line === '' ? ':\n' : `: ${line}\n`
  }
  return utf8.encode(`${frame}\n`)
}

/**
 * The bytes that set the reader's reconnection time.
 * @param retryMs - integer, 0 to `SSE_RETRY_MS_MAX`.
 * @throws SseEncodeError if it is anything else.
 */
export function encodeSseRetry(retryMs: number): Uint8Array {
  return utf8.encode(`${retryLine(retryMs)}\n`)
}

function retryLine(retryMs: number): string {
  if (Number.isInteger(retryMs) && retryMs >= 0 && retryMs <= SSE_RETRY_MS_MAX) return `retry: ${retryMs}\n`
  throw new SseEncodeError(
    `The retry time ${retryMs} is not an integer from 0 to ${SSE_RETRY_MS_MAX} ms. Round or clamp it.`,
  )
}

function singleLine(what: 'name' | 'id', value: string): string {
  if (value.includes('\n') || value.includes('\r') || value.includes('\0')) {
    throw new SseEncodeError(
      `The ${what} of an event has a CR, LF or NUL in it: ${shown(value)}. Take it out, or move it into the data.`,
    )
  }
  checkLine(`The ${what} of an event`, value)
  return value
}

function checkData(event: string, lines: readonly string[]): void {
  const linesMax = SSE_BLOCK_LINES_MAX - LINES_BESIDE_DATA
  if (lines.length > linesMax) {
    throw new SseEncodeError(
      `The data of event ${shown(event)} has ${lines.length} lines; ${linesMax} fit. Split it into several events.`,
    )
  }
  let units = lines.length - 1
  for (const line of lines) {
    checkLine(`A data line of event ${shown(event)}`, line)
    units += line.length
  }
  if (units <= SSE_EVENT_BYTES_MAX / UTF8_BYTES_PER_UNIT_MAX) return
  const bytes = lines.reduce((sum, line) => sum + utf8ByteLength(line), lines.length - 1)
  if (bytes > SSE_EVENT_BYTES_MAX) {
    throw new SseEncodeError(
      `The data of event ${shown(event)} has ${bytes} bytes; ${SSE_EVENT_BYTES_MAX} fit. Split it into several events.`,
    )
  }
}

/** Refuses a line that an original agent may not read. */
function checkLine(what: string, line: string): void {
  if (line.length <= SSE_DATA_LINE_BYTES_MAX / UTF8_BYTES_PER_UNIT_MAX) return
  const bytes = utf8ByteLength(line)
  if (bytes <= SSE_DATA_LINE_BYTES_MAX) return
  throw new SseEncodeError(
    `${what} has ${bytes} bytes; ${SSE_DATA_LINE_BYTES_MAX} fit. Split it: a reader ends the connection for a longer line.`,
  )
}

/** Length in UTF-8, a lone surrogate as the U+FFFD that it becomes. */
function utf8ByteLength(text: string): number {
  let bytes = 0
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index)
    if (unit < 0x80) bytes += 1
    else if (unit < 0x800) bytes += 2
    else if (unit < 0xd800 || unit > 0xdbff || !isLowSurrogate(text.charCodeAt(index + 1))) bytes += 3
    else {
      bytes += 4
      index += 1
    }
  }
  return bytes
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff
}

/** `name` for an error message: quoted, so that line breaks show, and short. */
function shown(name: string): string {
  return JSON.stringify(name.length > SHOWN_CHARS_MAX ? `${name.slice(0, SHOWN_CHARS_MAX)}…` : name)
}
