/** What a process says to the agent: its log, its progress and its result. */
import { delay, limits } from '@downlink/protocol'
import type { Clock, Json } from '@downlink/protocol'
import type { TaskStart } from './executor.ts'
import { cutLogLine, parseOutputLine, readLines } from './process-output.ts'
import type { HeldProcess } from './process-spawn.ts'

/** Output that is being read. */
export interface TaskOutput {
  /** The last `::result` of standard output. */
  result(): Json | undefined
  /** Reads what is left. A process that has left the session may hold the pipe, so it takes a bounded time. */
  drain(): Promise<void>
}

/** Reads the output of `held` from here on. */
export function readTaskOutput(held: HeldProcess, clock: Clock, { reporter }: TaskStart): TaskOutput {
  let result: Json | undefined
  const stdout = readLines(held.stdout, clock, (text) => {
    const line = parseOutputLine(text)
    switch (line.type) {
      case 'progress':
        reporter.progress(line.fraction, line.message)
        return
      case 'result':
        result = line.result
        return
      case 'text':
        reporter.log(cutLogLine(text))
    }
  })
  const stderr = readLines(held.stderr, clock, (text) => reporter.log(cutLogLine(text)))
  return {
    result: () => result,
    async drain() {
      const timeUp = new AbortController()
      const read = Promise.all([stdout.done, stderr.done])
      const late = delay(clock, limits.TASK_OUTPUT_DRAIN_MS, timeUp.signal).catch(() => {})
      await Promise.race([read, late])
      timeUp.abort()
      stdout.stop()
      stderr.stop()
    },
  }
}
