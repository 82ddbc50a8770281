/** The last lines of a task's output, within a bound of lines and bytes; the oldest go first. */
import { limits, type TaskLogTail } from '@downlink/protocol'

/** A bounded ring of lines. */
export class TaskLog {
  #lines: string[] = []
  #nextLine = 0

  /** How many lines were ever added. */
  get nextLine(): number {
    return this.#nextLine
  }

  add(line: string): void {
    const bytes = limits.TASK_LOG_LINE_BYTES_MAX
    // Cut by characters: a line of at most that many characters of any kind stays within four times the bound.
    this.#lines.push(line.length > bytes ? `${line.slice(0, bytes)}…` : line)
    this.#nextLine++
    // Dropped in bulk, so that a chatty task does not shift the array for every line.
    if (this.#lines.length > 2 * limits.TASK_LOG_LINES_MAX)
      this.#lines = this.#lines.slice(-limits.TASK_LOG_LINES_MAX)
  }

  /** The newest lines that fit in `bytesMax` bytes of UTF-8. */
  tail(bytesMax: number): TaskLogTail {
    const lines: string[] = []
    let bytes = 0
    for (
      let index = this.#lines.length - 1;
      index >= 0 && lines.length < limits.TASK_LOG_LINES_MAX;
      index--
    ) {
      const line = this.#lines[index] ?? ''
      bytes += Buffer.byteLength(line) + 3
      if (bytes > bytesMax) break
      lines.unshift(line)
    }
    return { nextLine: this.#nextLine, lines }
  }
}
