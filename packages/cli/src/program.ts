/** The command line: every command with its options. */
import { Command, CommanderError } from 'commander'
import { addAgentCommand } from './commands/agent.ts'
import { addAgentsCommand } from './commands/agents.ts'
import { addAuditCommand } from './commands/audit.ts'
import { addControlCommands } from './commands/control.ts'
import { addEnrollCommand } from './commands/enroll.ts'
import { addHubCommand } from './commands/hub.ts'
import { addLogsCommand } from './commands/logs.ts'
import { addRunCommand } from './commands/run.ts'
import { addStandingCommands } from './commands/standing.ts'
import { addTasksCommand } from './commands/tasks.ts'
import { addTokenCommand } from './commands/token.ts'
import { addUpCommand } from './commands/up.ts'
import type { CommandContext } from './command-context.ts'
import { CommandError, EXIT, EXIT_CODES_HELP, exitCodeOf, type ExitCode } from './exit-codes.ts'

/** Makes the program; the exit code of the command that ran is handed to `onExit`. */
export function createProgram(
  context: CommandContext,
  version: string,
  onExit: (code: ExitCode) => void,
): Command {
  const program = new Command('downlink')
  program
    .description('Run a hub, run an agent, and control what agents do.')
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.output.raw(text, 'stdout'),
      writeErr: (text) => context.output.raw(text, 'stderr'),
      outputError: (text) => context.output.problem(text.trim().replaceAll('\n', ' ')),
    })
    .addHelpText('after', `\nExample:\n  $ downlink up --port 0\n\n${EXIT_CODES_HELP}`)
  const run = async (work: (context: CommandContext) => Promise<ExitCode>): Promise<void> => {
    onExit(await work(context))
  }
  addUpCommand(program, run)
  addHubCommand(program, run)
  addAgentCommand(program, run)
  addAgentsCommand(program, run)
  addTasksCommand(program, run)
  addRunCommand(program, run)
  addControlCommands(program, run)
  addLogsCommand(program, run)
  addAuditCommand(program, run)
  addEnrollCommand(program, run)
  addStandingCommands(program, run)
  addTokenCommand(program, run)
  return program
}

/** Runs one command line and returns its exit code; every error has then been told. */
export async function runCommand(
  argv: readonly string[],
  context: CommandContext,
  version: string,
): Promise<ExitCode> {
  let code: ExitCode = EXIT.done
  const program = createProgram(context, version, (ended) => {
    code = ended
  })
  try {
    await program.parseAsync(argv, { from: 'user' })
    return code
  } catch (error) {
    tell(error, context)
    return exitCodeOf(error)
  }
}

function tell(error: unknown, context: CommandContext): void {
  // Commander has told its own.
  if (error instanceof CommanderError) return
  context.output.problem(error instanceof Error ? error.message : String(error))
  if (!(error instanceof CommandError) && error instanceof TypeError) {
    context.output.problem('This is a fault of downlink itself; please report it.')
  }
}
