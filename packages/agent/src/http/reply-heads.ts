/** Finds where the head of a reply ends, interim ones before it included, and bounds it by raw bytes and lines. */
import { limits } from '@downlink/protocol'

const LF = 0x0a
const CR = 0x0d
/** Where the class of the status stands in `HTTP/1.1 200 OK`. */
const STATUS_CLASS_AT = 9
const INTERIM_CLASS = 0x31
/** The exact count is taken of the headers themselves; this only keeps tiny ones from filling their bytes. */
const HEAD_LINES_MAX = 2 * limits.RESPONSE_HEADERS_MAX

/** What of a connection is head and what is body; begins in the first head. */
export class ReplyHeads {
  /** Of what was scanned last: all before it belongs to heads. */
  bodyAt = 0
  isTooLarge = false
  private isOver = false
  private bytes = 0
  private lines = 0
  private lineBytes = 0
  private isInterim = false

  /** A request was written: a head comes next. */
  begin(): void {
    this.isOver = false
    this.beginHead()
  }

  /** Scans the next `count` bytes, which lie at the beginning of `chunk`. */
  scan(chunk: Uint8Array, count: number): void {
    let at = 0
    while (at < count && !this.isOver && !this.isTooLarge) {
      this.read(chunk[at] as number)
      at += 1
    }
    this.bodyAt = at
  }

  private read(byte: number): void {
    this.bytes += 1
    if (byte === LF) this.endLine()
    else if (byte !== CR) {
      if (this.lines === 0 && this.lineBytes === STATUS_CLASS_AT) this.isInterim = byte === INTERIM_CLASS
      this.lineBytes += 1
    }
    if (this.bytes > limits.RESPONSE_HEADER_BYTES_MAX || this.lines > HEAD_LINES_MAX) this.isTooLarge = true
  }

  private endLine(): void {
    const isBlank = this.lineBytes === 0
    this.lineBytes = 0
    if (!isBlank) this.lines += 1
    else if (this.lines > 0) {
      this.isOver = !this.isInterim
      this.beginHead()
    }
  }

  private beginHead(): void {
    this.bytes = 0
    this.lines = 0
    this.lineBytes = 0
    this.isInterim = false
  }
}
