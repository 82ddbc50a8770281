/** Writes what the hub of this process reports as lines of JSON on standard error, for programs that gather logs. */
import type { Clock, Logger } from '@downlink/protocol'
import { LOG_LEVELS, type LogLevel } from './line-logger.ts'
import { printableJson, type Output } from './output.ts'

/** Deeper causes say nothing more. */
const CAUSES_MAX = 4

/** One object a line: `time`, `level`, `name`, `message`, then the fields; an error with its code, stack and causes. */
export function createJsonLogger(output: Output, clock: Clock, name: string, from: LogLevel): Logger {
  const write =
    (level: LogLevel) =>
    (fields: object, message: string): void => {
      if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(from)) return
      const time = new Date(clock.wallMs()).toISOString()
      const line = printableJson({ time, level, name, message, ...plainFields(fields) })
      output.raw(`${line}\n`, 'stderr')
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

function plainFields(fields: object): object {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error ? plainError(value, 0) : value,
    ]),
  )
}

function plainError(error: Error, depth: number): object {
  const { name, message, stack, cause } = error
  return {
    name,
    message,
    ...('code' in error ? { code: error.code } : {}),
    ...(stack === undefined ? {} : { stack }),
    ...(cause instanceof Error && depth < CAUSES_MAX ? { cause: plainError(cause, depth + 1) } : {}),
  }
}
