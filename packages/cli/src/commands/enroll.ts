/** `downlink enroll`: makes an enrollment key, which an agent exchanges for its own credential. */
import type { Command } from 'commander'
import type { CommandContext } from '../command-context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { labelArgument } from '../label-argument.ts'
import {
  countArgument,
  durationArgument,
  withClient,
  withExample,
  withOperatorOptions,
  type OperatorFlags,
} from '../operator-command.ts'

interface EnrollFlags extends OperatorFlags {
  readonly uses?: number
  readonly ttl?: number
  readonly label?: Readonly<Record<string, string>>
  readonly agentId?: string
}

/** Adds the command. */
export function addEnrollCommand(
  program: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
): void {
  const command = program
    .command('enroll')
    .summary('make a key for new agents')
    .description(
      'Make an enrollment key. It is shown once; an agent exchanges it for a credential of its own.',
    )
  withOperatorOptions(command)
    .option('--uses <count>', 'how many agents it may enroll, 1 unless told', countArgument)
    .option('--ttl <duration>', 'how long it is good for', durationArgument)
    .option(
      '--label <name=value>',
      'a label for the agents that enroll with it; may stand several times',
      labelArgument,
    )
    .option('--agent-id <id>', 'the only agent that it may enroll, even one that exists')
    .action((flags: EnrollFlags) => run((context) => makeKey(context, flags)))
  withExample(command, 'enroll --uses 10 --ttl 1h')
}

async function makeKey(context: CommandContext, flags: EnrollFlags): Promise<ExitCode> {
  const { output } = context
  const { uses, ttl, label, agentId } = flags
  return withClient(context, flags, async (client) => {
    const key = await client.createEnrollmentKey({
      ...(uses === undefined ? {} : { uses }),
      ...(ttl === undefined ? {} : { ttlMs: ttl }),
      ...(label === undefined ? {} : { labels: label }),
      ...(agentId === undefined ? {} : { agentId }),
    })
    if (flags.json === true) output.json(key)
    else {
      output.line(key.key)
      output.problem(
        `Enroll with it: downlink agent --hub ${client.url.href.replace(/\/$/, '')} --enrollment-key-file FILE --name NAME`,
      )
    }
    return EXIT.done
  })
}
