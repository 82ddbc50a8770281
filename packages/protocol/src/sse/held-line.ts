/** Holds the incomplete line between chunks. */
import { SSE_LINE_BYTES_MAX } from '../limits.ts'

const BYTES_MIN = 256
/** Up to this length a loop copies sooner than a call does. */
const NEAR_BYTES = 64

/** The bytes of the line so far, in `bytes[0, length)`; there is always room for one byte more. */
export class HeldLine {
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(BYTES_MIN)
  /** Of `bytes`. */
  view: DataView = new DataView(this.bytes.buffer)
  length = 0
  private readonly lineBytesMax: number

  constructor(lineBytesMax: number) {
    this.lineBytesMax = lineBytesMax
  }

  add(byte: number): void {
    this.bytes[this.length] = byte
    this.length += 1
    if (this.length === this.bytes.length) this.grow(this.length + 1)
  }

  append(chunk: Uint8Array, from: number, to: number): void {
    const length = this.length + to - from
    if (length >= this.bytes.length) this.grow(length + 1)
    if (to - from <= NEAR_BYTES) {
      const bytes = this.bytes
      for (let index = from, at = this.length; index < to; index += 1, at += 1)
        bytes[at] = chunk[index] as number
    } else {
      this.bytes.set(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to), this.length)
    }
    this.length = length
  }

  /** Drops the line for ever. */
  release(): void {
    if (this.bytes.length > spare.length && this.bytes.length <= SSE_LINE_BYTES_MAX + 1) spare = this.bytes
    this.bytes = new Uint8Array(1)
    this.length = 0
  }

  /** Doubles, so that a line's bytes are moved a constant number of times however it arrives. */
  private grow(bytesMin: number): void {
    const bytesMax = this.lineBytesMax + 1
    const grown = memoryOf(Math.max(bytesMin, Math.min(this.bytes.length * 2, bytesMax)), bytesMax)
    grown.set(this.bytes.subarray(0, this.length))
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }
}

/** The largest memory of a held line that a decoder left: long lines on one connection after the other share it. */
let spare: Uint8Array<ArrayBuffer> = new Uint8Array(0)

function memoryOf(bytesMin: number, bytesMax: number): Uint8Array<ArrayBuffer> {
  if (spare.length < bytesMin || spare.length > bytesMax) return new Uint8Array(bytesMin)
  const memory = spare
  spare = new Uint8Array(0)
  return memory
}
