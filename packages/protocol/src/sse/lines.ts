/** Finds the lines in bytes and decodes them, many at once, for the block to interpret. */
import type { SseBlock } from './block.ts'
import { indexOfByte, lastIndexOfByte, textOf } from './bytes.ts'
import { SseLimitError } from './sse-error.ts'

const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const COLON = 0x3a
const LETTER_D = 0x64
const LETTER_E = 0x65
/** `data` as a big-endian word. */
const DATA = 0x64_61_74_61

/**
 * Lines are decoded in texts, not one by one, as a call of the decoder costs as much as several lines.
 * What the sink keeps is a slice that pins its text, so a text takes less than 4 KiB: a byte a character, or two beyond
 * ASCII. A longer line is a text of its own.
 */
const TEXT_BYTES_MAX = 4_000
const WIDE_TEXT_CHARS_MAX = 2_020
/** Aimed at, as the next text has a few characters more or less for as many bytes. */
const WIDE_TEXT_CHARS = 2_000
/** From this length on a call finds the end of a line beyond ASCII sooner, though it is not far behind its characters. */
const LONG_LINE_CHARS_MIN = 256

const NO_VIEW: DataView = new DataView(new ArrayBuffer(0))

/** Reads runs of whole lines. A line end is ASCII, so no cut at one can split a character. */
export class SseLines {
  private readonly block: SseBlock
  private readonly lineBytesMax: number
  /** Smaller while texts have characters beyond ASCII, as the next one then most often has. */
  private textBytesMax = TEXT_BYTES_MAX
  /** Of the run being read: the next LF and CR, or its end; valid until passed, so that no byte is searched twice. */
  private nextLf = -1
  private nextCr = -1
  /** The text that the sink stopped in, unread from `restAt`. */
  private rest = ''
  private restAt = 0
  private restView = NO_VIEW

  constructor(block: SseBlock, lineBytesMax: number) {
    this.block = block
    this.lineBytesMax = lineBytesMax
  }

  /** Reads the line `bytes[0, length)`, which `view` views; an LF follows it. */
  readOne(bytes: Uint8Array, view: DataView, length: number): void {
    this.nextLf = length
    this.nextCr = length + 1
    this.readRun(bytes, view, 0, length + 1)
    this.forget()
  }

  /**
   * Reads `bytes[from, to)`, whole lines each with its end; returns `to`, or where the sink stopped it. Then it must be
   * called for the rest of them.
   */
  read(bytes: Uint8Array, from: number, to: number): number {
    const rest = this.rest
    const view = rest === '' ? new DataView(bytes.buffer, bytes.byteOffset, bytes.length) : this.restView
    this.rest = ''
    let at = rest === '' ? from : this.readText(bytes, view, from, rest, this.restAt)
    if (at < to) at = this.readRun(bytes, view, at, to)
    if (!this.block.stopped) this.forget()
    return at
  }

  /** Begins a chunk, whose first CR is at `firstCr`, so that it is looked for once. */
  begin(firstCr: number): void {
    this.forget()
    this.nextCr = firstCr
  }

  private forget(): void {
    this.nextLf = -1
    this.nextCr = -1
    this.rest = ''
    this.restView = NO_VIEW
  }

  private readRun(bytes: Uint8Array, view: DataView, from: number, to: number): number {
    const block = this.block
    let at = from
    while (at < to && !block.stopped) {
      const first = view.getUint8(at)
      // Of a CRLF that was cut behind its CR.
      if (first === LF && at > 0 && view.getUint8(at - 1) === CR) at += 1
      else if (first === LF || first === CR) {
        block.endBlock()
        at += 1
      } else {
        let next = at
        if (first === COLON) next = block.readKnownComments(view, at, to)
        else if (first === LETTER_E) next = block.readKnownName(view, at, to)
        at = next > at ? next : this.readTextFrom(bytes, view, at, to)
      }
    }
    return at
  }

  /** Reads a text that begins with the line at `at`; returns where the next unread line begins, but for the LF of a CRLF. */
  private readTextFrom(bytes: Uint8Array, view: DataView, at: number, to: number): number {
    const hasCr = this.crFrom(bytes, at, to) < to
    for (;;) {
      const end = textEnd(bytes, at, Math.min(to, at + this.textBytesMax), to, hasCr)
      if (end <= at) return this.readLongLine(bytes, view, at, to)
      const text = textOf(bytes, at, end)
      // A bad byte is one character too, but a wide one.
      if (text.length === end - at && !text.includes('\ufffd')) this.textBytesMax = TEXT_BYTES_MAX
      else if (text.length <= WIDE_TEXT_CHARS_MAX) {
        this.textBytesMax = Math.min(TEXT_BYTES_MAX, Math.floor((WIDE_TEXT_CHARS * (end - at)) / text.length))
      } else {
        // Once more, smaller.
        this.textBytesMax = WIDE_TEXT_CHARS
        continue
      }
      return this.readText(bytes, view, at, text, 0)
    }
  }

  /** Reads the line at `at`, whose LF is far. */
  private readLongLine(bytes: Uint8Array, view: DataView, at: number, to: number): number {
    const end = Math.min(this.lfFrom(bytes, at, to), this.crFrom(bytes, at, to))
    // Before a text is made that is as long as the input.
    if (end - at > this.lineBytesMax) throw new SseLimitError('sse_line_too_long', this.lineBytesMax)
    if (end - at > 4 && isData(view, at)) {
      const start = bytes[at + 5] === SPACE ? at + 6 : at + 5
      const value = textOf(bytes, start, end)
      if (end + 1 < to && bytes[end] === LF && bytes[end + 1] === LF) {
        if (!this.block.readOnlyData(value, end - at)) {
          this.block.readData(value, false, bytes, at, start, end)
          this.block.endBlock()
        }
        return end + 2
      }
      this.block.readData(value, false, bytes, at, start, end)
    } else {
      const line = textOf(bytes, at, end)
      this.block.readLine(bytes, at, end, line, 0, line.length)
    }
    return end + 1
  }

  private lfFrom(bytes: Uint8Array, at: number, to: number): number {
    if (this.nextLf < at) {
      const lf = indexOfByte(bytes, LF, at)
      this.nextLf = lf === -1 ? to : lf
    }
    return this.nextLf
  }

  private crFrom(bytes: Uint8Array, at: number, to: number): number {
    if (this.nextCr < at) {
      const cr = indexOfByte(bytes, CR, at)
      this.nextCr = cr === -1 ? to : cr
    }
    return this.nextCr
  }

  /**
   * Reads the lines of `text` from `textAt`, which is `from` in the bytes. Here most of the time goes, so the most
   * common lines are read in place. Line ends are looked for in the text, which has native code for it; their bytes are
   * never before their characters, and in ASCII right there.
   */
  private readText(bytes: Uint8Array, view: DataView, from: number, text: string, textAt: number): number {
    const block = this.block
    const length = text.length
    const bytesLength = bytes.length
    // Most streams have none.
    let charCr = this.crFrom(bytes, from, bytesLength) === bytesLength ? length : charOr(text, '\r', textAt)
    let at = from
    let charAt = textAt
    while (charAt < length && !block.stopped) {
      const first = view.getUint8(at)
      if (first === LF) {
        block.endBlock()
        at += 1
        charAt += 1
        continue
      }
      // A line that is remembered is ASCII, so its bytes are its characters.
      let next = at
      if (first === COLON) {
        const textTo = at + length - charAt
        next = block.readKnownComments(view, at, textTo)
        if (next === at) next = block.readLikeComments(view, at, textTo, text, charAt)
      } else if (first === LETTER_E) next = block.readKnownName(view, at, bytesLength)
      if (next > at) {
        charAt += next - at
        at = next
        continue
      }
      const charLf = text.indexOf('\n', charAt)
      const charEnd = charLf === -1 || charCr < charLf ? charCr : charLf
      let end = at + charEnd - charAt
      if (charEnd === charLf && charEnd - charAt >= LONG_LINE_CHARS_MIN) end = indexOfByte(bytes, LF, end)
      else while (view.getUint8(end) !== LF && view.getUint8(end) !== CR) end += 1
      if (first === COLON) {
        const start = view.getUint8(at + 1) === SPACE ? 2 : 1
        block.readComment(bytes, at, end, text.substring(charAt + start, charEnd))
      } else if (first === LETTER_D && end - at > 4 && isData(view, at)) {
        const start = view.getUint8(at + 5) === SPACE ? 6 : 5
        const valueAt = charAt + start
        if (charEnd + 1 < length && view.getUint8(end) === LF && view.getUint8(end + 1) === LF) {
          const value = text.substring(valueAt, charEnd)
          if (!block.readOnlyData(value, end - at)) {
            block.readData(value, false, bytes, at, at + start, end)
            block.endBlock()
          }
          charAt = charEnd + 2
          at = end + 2
          continue
        }
        // Data lines are joined by LF: taken along, it makes one string less for each.
        const endsInLf = charEnd === charLf
        const value = text.substring(valueAt, endsInLf ? charEnd + 1 : charEnd)
        block.readData(value, endsInLf, bytes, at, at + start, end)
      } else if (end === at) {
        block.endBlock()
      } else {
        block.readLine(bytes, at, end, text, charAt, charEnd)
      }
      charAt = charEnd + 1
      at = end + 1
      if (charEnd === charCr) {
        charCr = charOr(text, '\r', charAt)
        if (charAt < length && view.getUint8(at) === LF) {
          charAt += 1
          at += 1
        }
      } else if (charAt < length && view.getUint8(at) === LF && !block.stopped) {
        block.endBlock()
        charAt += 1
        at += 1
      }
    }
    if (charAt < length) {
      this.rest = text
      this.restAt = charAt
      this.restView = view
    }
    return at
  }
}

/** Whether the line at `at`, of at least five bytes, begins with `data:`. */
function isData(view: DataView, at: number): boolean {
  return view.getUint32(at) === DATA && view.getUint8(at + 4) === COLON
}

function charOr(text: string, char: string, from: number): number {
  const at = text.indexOf(char, from)
  return at === -1 ? text.length : at
}

/** Where a line ends, the last one by LF before `near` if there is one, or at most `at`; `hasCr` says whether a CR is behind `at`. */
function textEnd(bytes: Uint8Array, at: number, near: number, to: number, hasCr: boolean): number {
  if (near === to) return to
  if (!hasCr) return lastIndexOfByte(bytes, LF, near - 1) + 1
  // Not before `at`: where no line ends in LF, each text would be a search of all bytes before it.
  const lf = lastIndexOfByte(bytes.subarray(at, near), LF, near - at - 1)
  let end = lf === -1 ? near : at + lf + 1
  while (end > at && bytes[end - 1] !== LF && bytes[end - 1] !== CR) end -= 1
  return end
}
