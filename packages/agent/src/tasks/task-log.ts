/** The last lines of a task's output, within a bound of lines and bytes; the oldest go first. */
import { limits, type TaskLogTail } from '@downlink/protocol'

interface Line {
  readonly text: string
  /** As JSON, with the comma behind it. */
  readonly bytes: number
}

/** A bounded ring of lines: it holds no more than one sync may carry of a task. */
export class TaskLog {
  #lines: Line[] = []
  #bytes = 0
  #nextLine = 0

  /** How many lines were ever added. */
  get nextLine(): number {
    return this.#nextLine
  }

  add(line: string): void {
    const text = cut(line)
    const bytes = jsonBytes(text) + 1
    this.#lines.push({ text, bytes })
    this.#bytes += bytes
    this.#nextLine++
    // Dropped in bulk, so that a chatty task does not shift the array for every line.
    if (
      this.#lines.length > 2 * limits.TASK_LOG_LINES_MAX ||
      this.#bytes > 2 * limits.TASK_LOG_SYNC_BYTES_MAX
    ) {
      this.#lines = this.#newest(limits.TASK_LOG_SYNC_BYTES_MAX)
      this.#bytes = this.#lines.reduce((sum, kept) => sum + kept.bytes, 0)
    }
  }

  /** The newest lines that fit in `bytesMax` bytes of JSON. */
  tail(bytesMax: number): TaskLogTail {
    return { nextLine: this.#nextLine, lines: this.#newest(bytesMax).map(({ text }) => text) }
  }

  #newest(bytesMax: number): Line[] {
    let first = this.#lines.length
    const oldest = Math.max(0, first - limits.TASK_LOG_LINES_MAX)
    let leftBytes = bytesMax
    while (first > oldest) {
      leftBytes -= this.#lines[first - 1]?.bytes ?? 0
      if (leftBytes < 0) break
      first--
    }
    return this.#lines.slice(first)
  }
}

/** The line, or its beginning and `…`, within `TASK_LOG_LINE_BYTES_MAX` bytes of JSON. */
function cut(line: string): string {
  const bytesMax = limits.TASK_LOG_LINE_BYTES_MAX
  if (line.length <= bytesMax && jsonBytes(line) <= bytesMax) return line
  let kept = ''
  let leftBytes = bytesMax - jsonBytes('…')
  for (const character of line) {
    leftBytes -= jsonBytes(character) - 2
    if (leftBytes < 0) break
    kept += character
  }
  return `${kept}…`
}

function jsonBytes(text: string): number {
  return Buffer.byteLength(JSON.stringify(text))
}
