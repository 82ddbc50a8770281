/** `downlink run`: starts a task on an agent. */
import type { Command } from 'commander'
import type { CommandContext } from '../command-context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import {
  jsonArgument,
  withClient,
  withExample,
  withOperatorOptions,
  type OperatorFlags,
} from '../operator-command.ts'

interface RunFlags extends OperatorFlags {
  readonly input?: string
  readonly taskId?: string
}

/** Adds the command. */
export function addRunCommand(
  program: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
): void {
  const command = program
    .command('run')
    .summary('start a task')
    .description('Start a task of a kind that the agent knows.')
    .argument('<agent>', 'id of the agent')
    .argument('<kind>', "a kind of the agent's own configuration")
  withOperatorOptions(command)
    .option('--input <json>', "the task's input; - reads standard input")
    .option('--task-id <id>', 'the id of the new task; the hub makes one otherwise')
    .action((agentId: string, kind: string, flags: RunFlags) =>
      run((context) => startTask(context, agentId, kind, flags)),
    )
  withExample(command, `run local counter --task-id counter-9 --input '{"steps":300}'`)
}

async function startTask(
  context: CommandContext,
  agentId: string,
  kind: string,
  flags: RunFlags,
): Promise<ExitCode> {
  const { taskId } = flags
  const input = flags.input === undefined ? undefined : await jsonArgument(context, '--input', flags.input)
  return withClient(context, flags, async (client) => {
    const task = await client.start(agentId, kind, input, taskId === undefined ? {} : { taskId })
    if (flags.json === true) context.output.json({ agentId, taskId: task.taskId, kind })
    else {
      context.output.line(
        `Started ${task.taskId} on ${agentId}. Follow it: downlink logs ${agentId} ${task.taskId} --follow`,
      )
    }
    return EXIT.done
  })
}
