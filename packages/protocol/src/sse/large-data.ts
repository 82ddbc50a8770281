/** Holds the data of a large event as bytes: as thousands of strings it would outgrow the heap's young part for every event. */
import { SSE_EVENT_BYTES_MAX } from '../limits.ts'
import { textOf } from './bytes.ts'

const LF = 0x0a
const BYTES_MIN = 131_072
/** Up to this length a loop copies sooner than a call does. */
const NEAR_BYTES = 64
const NONE: Uint8Array<ArrayBuffer> = new Uint8Array(0)

const utf8 = new TextEncoder()

/** The data lines of one event so far, joined by LF, in UTF-8. */
export class LargeData {
  private bytes = NONE
  private length = 0

  /** Bytes of memory that are held. */
  get heldBytes(): number {
    return this.bytes.length
  }

  /** Begins with the lines so far. */
  begin(text: string): void {
    this.length = 0
    for (let at = 0; at < text.length;) {
      // Mostly enough; what was no UTF-8 takes up to three bytes for one.
      this.makeRoom(text.length - at + BYTES_MIN)
      const { read, written } = utf8.encodeInto(
        at === 0 ? text : text.substring(at),
        this.bytes.subarray(this.length),
      )
      at += read
      this.length += written
    }
  }

  /** Adds the line whose value is `bytes[from, to)`. */
  addLine(bytes: Uint8Array, from: number, to: number): void {
    if (this.length + 1 + to - from > this.bytes.length) this.makeRoom(1 + to - from)
    const held = this.bytes
    held[this.length] = LF
    let at = this.length + 1
    this.length = at + to - from
    if (to - from > NEAR_BYTES) held.set(bytes.subarray(from, to), at)
    else for (let index = from; index < to; index += 1, at += 1) held[at] = bytes[index] as number
  }

  /** All of it. */
  text(): string {
    return textOf(this.bytes, 0, this.length)
  }

  /** Drops it; the next large event of any stream takes its memory. */
  release(): void {
    if (this.bytes.length > spare.length && this.bytes.length <= SPARE_BYTES_MAX) spare = this.bytes
    this.bytes = NONE
    this.length = 0
  }

  private makeRoom(bytes: number): void {
    const bytesMin = this.length + bytes
    if (bytesMin <= this.bytes.length) return
    const grown = memoryOf(Math.max(bytesMin, this.bytes.length * 2, BYTES_MIN))
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
  }
}

/** Twice an event, as memory doubles. */
const SPARE_BYTES_MAX = 2 * SSE_EVENT_BYTES_MAX

/** The largest memory that an event left. */
let spare = NONE

function memoryOf(bytesMin: number): Uint8Array<ArrayBuffer> {
  if (spare.length < bytesMin) return new Uint8Array(bytesMin)
  const memory = spare
  spare = NONE
  return memory
}
