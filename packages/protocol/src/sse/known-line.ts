/** Remembers a line of one kind, which is most often the next one too: comparing it costs less than decoding it. */

const LF = 0x0a

/** Names and heartbeats are shorter; a longer line is not worth remembering. */
const KNOWN_LINE_BYTES_MAX = 64
const WORD_BYTES = 4

/** So many lines must differ before another is remembered, and at most so many: a line may never come again. */
const MISSES_MIN = 8
const MISSES_MAX = 1_024

/** One remembered line and what it said. */
export class KnownLine {
  /** What the line said; meaningless while `length` is zero. */
  value = ''
  /** Bytes and characters of the line without its end; zero if nothing is remembered. */
  length = 0
  /** The line from its end, where lines of one kind differ; the last word may overlap the one before it. */
  private readonly words: number[] = []
  /** Lines that differed since one was remembered. */
  private misses = MISSES_MIN
  /** Grows as long as what is remembered never comes again. */
  private missesMax = 0
  private hit = false

  /** Whether the line at `at` is this one and ends in LF before `to`. */
  isAt(view: DataView, at: number, to: number): boolean {
    const length = this.length
    if (length === 0 || at + length >= to || view.getUint8(at + length) !== LF) return false
    const words = this.words
    const last = words.length - 1
    let wordAt = at + length - WORD_BYTES
    for (let index = 0; index < last; index += 1, wordAt -= WORD_BYTES) {
      if (view.getInt32(wordAt) !== words[index]) return false
    }
    if (view.getInt32(at) !== words[last]) return false
    this.hit = true
    return true
  }

  /** Whether to remember a line of `length` bytes, which was not this one. */
  wants(length: number): boolean {
    this.misses += 1
    if (this.misses < MISSES_MIN) return false
    // Comparing costs a little too: what has not come again is forgotten.
    if (!this.hit) this.length = 0
    return (
      (this.hit || this.misses > this.missesMax) && length >= WORD_BYTES && length <= KNOWN_LINE_BYTES_MAX
    )
  }

  /** Remembers the line `bytes[at, end)`, which is ASCII and says `value`. */
  learn(bytes: Uint8Array, at: number, end: number, value: string): void {
    this.missesMax = this.hit ? MISSES_MIN : Math.min(MISSES_MAX, Math.max(MISSES_MIN, this.missesMax * 2))
    this.misses = 0
    this.hit = false
    this.length = end - at
    this.value = value
    const line = new DataView(bytes.buffer, bytes.byteOffset + at, end - at)
    this.words.length = 0
    for (let left = line.byteLength; left > WORD_BYTES; left -= WORD_BYTES)
      this.words.push(line.getInt32(left - WORD_BYTES))
    this.words.push(line.getInt32(0))
  }
}
