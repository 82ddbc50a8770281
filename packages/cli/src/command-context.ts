/** What a command is given of the world around it; tests hand in their own. */
import type { Clock, Random } from '@downlink/protocol'
import type { Output } from './output.ts'

/** The world around one run of the command. */
export interface CommandContext {
  readonly output: Output
  /** Where relative paths and `./.downlink` are looked for. */
  readonly cwd: string
  readonly clock: Clock
  readonly random: Random
  /** All of standard input. @throws CommandError `usage` past `bytesMax`. */
  readStdin(bytesMax: number): Promise<string>
  /** Aborts when the process is asked to end; from the first call on, only a second request ends it at once. */
  stopSignal(): AbortSignal
}
