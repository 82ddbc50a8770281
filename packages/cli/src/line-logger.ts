/** Tells people what the hub and the agent of this process report, one line each, on standard error. */
import type { Output } from './output.ts'

/** What hub and agent both take. */
export type LineLogger = Record<
  'debug' | 'info' | 'warn' | 'error',
  (fields: object, message: string) => void
>

const LEVELS = ['debug', 'info', 'warn', 'error'] as const

/** Writes what is at least as grave as `from`, with the message of an error in its fields and nothing else of them. */
export function createLineLogger(
  output: Output,
  name: string,
  from: (typeof LEVELS)[number] = 'warn',
): LineLogger {
  const write =
    (level: (typeof LEVELS)[number]) =>
    (fields: object, message: string): void => {
      if (LEVELS.indexOf(level) < LEVELS.indexOf(from)) return
      const reason = reasonOf(fields)
      output.problem(`${name}: ${message}${reason === undefined ? '' : `: ${reason}`}`)
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

function reasonOf(fields: object): string | undefined {
  if ('error' in fields && fields.error instanceof Error) return fields.error.message
  return 'reason' in fields && typeof fields.reason === 'string' ? fields.reason : undefined
}
