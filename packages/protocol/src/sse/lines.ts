/** Finds the lines in bytes and decodes them, many at once, for the block to interpret. */
import type { SseBlock } from './block.ts'
import { SseLimitError } from './sse-error.ts'

const LF = 0x0a
const CR = 0x0d
const SPACE = 0x20
const COLON = 0x3a
const LETTER_A = 0x61
const LETTER_D = 0x64
const LETTER_T = 0x74

/**
 * Lines are decoded in texts of this size, not one by one, as a call of the decoder costs as much as several lines.
 * What the sink keeps is a slice that pins its text: 2 bytes a character, so 4 KiB at most.
 */
const TEXT_BYTES_MAX = 2_048
/** From this size on a line is a text of its own: the call is worth it, and looking for the end of a text is not. */
export const LONG_LINE_BYTES_MIN = 512

/** Reads runs of whole lines. A line end is ASCII, so no cut at one can split a character. */
export class SseLines {
  private readonly block: SseBlock
  private readonly lineBytesMax: number
  // Each text is decoded on its own, so a BOM at its start is not the stream's.
  private readonly utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  /** Of the run being read: the next LF and CR, or its end; valid until passed, so that no byte is searched twice. */
  private nextLf = -1
  private nextCr = -1

  constructor(block: SseBlock, lineBytesMax: number) {
    this.block = block
    this.lineBytesMax = lineBytesMax
  }

  /** Reads the line `bytes[0, length)`; an LF follows it. */
  readOne(bytes: Uint8Array, length: number): void {
    this.nextLf = length
    this.nextCr = length + 1
    this.readLines(bytes, 0, length + 1)
  }

  /** Reads `bytes[from, to)`, whole lines each with its end; returns `to`, or where the sink stopped it. */
  read(bytes: Uint8Array, from: number, to: number): number {
    this.nextLf = -1
    this.nextCr = -1
    return this.readLines(bytes, from, to)
  }

  private readLines(bytes: Uint8Array, from: number, to: number): number {
    const block = this.block
    let at = from
    while (at < to && !block.stopped) {
      const first = bytes[at]
      if (first === LF || first === CR) {
        block.endBlock()
        at += 1
      } else {
        const known = block.readKnownLine(bytes, at, to)
        at = known > 0 ? at + known + 1 : this.readText(bytes, at, to)
      }
      if (bytes[at - 1] === CR && at < to && bytes[at] === LF) at += 1
    }
    return at
  }

  /** Reads a text that begins with the line at `at`; returns where the next unread line begins, but for the LF of a CRLF. */
  private readText(bytes: Uint8Array, at: number, to: number): number {
    const longEnd = to - at > LONG_LINE_BYTES_MIN ? this.longLineEnd(bytes, at, to) : -1
    if (longEnd !== -1) {
      const line = this.decode(bytes, at, longEnd)
      this.block.readLine(bytes, at, longEnd, line, 0, line.length)
      return longEnd + 1
    }
    let end = to
    if (to - at > TEXT_BYTES_MAX) {
      // The line at `at` is short, so a line end is near.
      end = at + TEXT_BYTES_MAX
      while (bytes[end - 1] !== LF && bytes[end - 1] !== CR) end -= 1
    }
    const text = this.decode(bytes, at, end)
    // A code point beyond ASCII has fewer UTF-16 units than bytes, except a lone bad byte, which has as many:
    // where the lengths agree, so do all offsets.
    return text.length === end - at && !text.includes('\r')
      ? this.readEvenText(bytes, at, end, text)
      : this.readUnevenText(bytes, at, end, text)
  }

  /** Where the line at `at` ends if it is long; otherwise -1. */
  private longLineEnd(bytes: Uint8Array, at: number, to: number): number {
    if (this.nextLf < at) this.nextLf = indexOr(bytes, LF, at, to)
    if (this.nextLf - at < LONG_LINE_BYTES_MIN) return -1
    if (this.nextCr < at) this.nextCr = indexOr(bytes, CR, at, to)
    const end = Math.min(this.nextLf, this.nextCr)
    // Before a text is made that is as long as the input.
    if (end - at > this.lineBytesMax) throw new SseLimitError('sse_line_too_long', this.lineBytesMax)
    return end
  }

  private decode(bytes: Uint8Array, from: number, to: number): string {
    // A plain view: a Buffer's `subarray` costs twice as much.
    return this.utf8.decode(new Uint8Array(bytes.buffer, bytes.byteOffset + from, to - from))
  }

  /**
   * Reads a text of lines that end in LF, whose characters have the offsets of their bytes.
   * Here most of the time goes, so the most common line is read in place.
   */
  private readEvenText(bytes: Uint8Array, from: number, to: number, text: string): number {
    const block = this.block
    let at = from
    while (at < to && !block.stopped) {
      const first = bytes[at]
      if (first === LF) {
        block.endBlock()
        at += 1
      } else if (
        first === LETTER_D &&
        bytes[at + 1] === LETTER_A &&
        bytes[at + 2] === LETTER_T &&
        bytes[at + 3] === LETTER_A &&
        bytes[at + 4] === COLON
      ) {
        const start = bytes[at + 5] === SPACE ? at + 6 : at + 5
        const end = from + text.indexOf('\n', start - from)
        block.readData(text.substring(start - from, end - from), end - at, end - start)
        at = end + 1
      } else {
        const known = block.readKnownLine(bytes, at, to)
        const end = known > 0 ? at + known : from + text.indexOf('\n', at - from)
        if (known === 0) block.readLine(bytes, at, end, text, at - from, end - from)
        at = end + 1
      }
    }
    return at
  }

  /** Reads a text with any line ends, whose characters may have other offsets than their bytes. */
  private readUnevenText(bytes: Uint8Array, from: number, to: number, text: string): number {
    const block = this.block
    const isEven = text.length === to - from
    let at = from
    let charAt = 0
    while (at < to && !block.stopped) {
      const charEnd = charLineEnd(text, charAt)
      const end = isEven ? at + charEnd - charAt : lineEnd(bytes, at)
      if (end === at) block.endBlock()
      else block.readLine(bytes, at, end, text, charAt, charEnd)
      const next = bytes[end] === CR && end + 1 < to && bytes[end + 1] === LF ? end + 2 : end + 1
      charAt = charEnd + (next - end)
      at = next
    }
    return at
  }
}

function indexOr(bytes: Uint8Array, byte: number, from: number, otherwise: number): number {
  const index = bytes.indexOf(byte, from)
  return index === -1 ? otherwise : index
}

/** The first LF or CR from `at`; there is one. */
function lineEnd(bytes: Uint8Array, at: number): number {
  let end = at
  while (bytes[end] !== LF && bytes[end] !== CR) end += 1
  return end
}

function charLineEnd(text: string, charAt: number): number {
  const lf = text.indexOf('\n', charAt)
  const cr = text.indexOf('\r', charAt)
  return lf === -1 || (cr !== -1 && cr < lf) ? cr : lf
}
