/** Tells people what the hub and the agent of this process report, one line each, on standard error. */
import type { Logger } from '@downlink/protocol'
import type { Output } from './output.ts'

/** How grave a line is, the least grave first. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
/** One of {@link LOG_LEVELS}. */
export type LogLevel = (typeof LOG_LEVELS)[number]

/** Writes what is at least as grave as `from`: with the message of an error in its fields, or else with their short values. */
export function createLineLogger(output: Output, name: string, from: LogLevel = 'warn'): Logger {
  const write =
    (level: LogLevel) =>
    (fields: object, message: string): void => {
      if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(from)) return
      const reason = reasonOf(fields)
      output.problem(`${name}: ${message}${reason === undefined ? valuesOf(fields) : `: ${reason}`}`)
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

function reasonOf(fields: object): string | undefined {
  if ('error' in fields && fields.error instanceof Error) return fields.error.message
  return 'reason' in fields && typeof fields.reason === 'string' ? fields.reason : undefined
}

function valuesOf(fields: object): string {
  const values = Object.entries(fields)
    .filter(([, value]) => typeof value === 'string' || typeof value === 'number')
    .map(([name, value]) => `${name}=${String(value)}`)
  return values.length === 0 ? '' : ` (${values.join(' ')})`
}
