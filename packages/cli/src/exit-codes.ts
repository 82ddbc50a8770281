/** The exit codes of the command, and which one an error ends with. */
import { DownlinkError, HttpError } from '@downlink/protocol'
import { CommanderError } from 'commander'

/** What a script can rely on; `--help` of every command says the same. */
export const EXIT = {
  /** It is so. */
  done: 0,
  /** The control failed, expired or was superseded, the task failed, or the command itself did. */
  failed: 1,
  /** The command line, a file it names, or what the hub makes of them is wrong. */
  usage: 2,
  /** No hub answers, or it cannot serve now. */
  unreachable: 3,
  /** The hub says no: token, scope, conflict, unknown agent or task. */
  refused: 4,
  /** The wait ended before it was so; it may still come. */
  notYet: 5,
} as const

/** One of {@link EXIT}. */
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** The part of every `--help` that names the codes. */
export const EXIT_CODES_HELP =
  'Exit codes: 0 done, 1 failed, 2 wrong usage, 3 hub not reachable, 4 refused by the hub, 5 not known yet.'

/** An expected end of a command that is not `done`; `message` says what happened and the remedy. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
  readonly exitCode: ExitCode
  constructor(exitCode: ExitCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options)
    this.exitCode = exitCode
  }
}

const USAGE_CODES: ReadonlySet<string> = new Set(['bad_hub_url', 'insecure_hub', 'bad_token', 'bad_config'])
const UNREACHABLE_CODES: ReadonlySet<string> = new Set(['hub_unreachable', 'reply_timeout'])

/** The code that a command ends with after `error`. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommandError) return error.exitCode
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage
  if (error instanceof HttpError) return exitCodeOfStatus(error.status)
  if (!(error instanceof DownlinkError)) return EXIT.failed
  if (USAGE_CODES.has(error.code)) return EXIT.usage
  return UNREACHABLE_CODES.has(error.code) ? EXIT.unreachable : EXIT.failed
}

function exitCodeOfStatus(status: number): ExitCode {
  if (status === 400 || status === 413 || status === 415) return EXIT.usage
  if (status === 408 || status === 429 || (status > 500 && status !== 501)) return EXIT.unreachable
  return status === 500 ? EXIT.failed : EXIT.refused
}
