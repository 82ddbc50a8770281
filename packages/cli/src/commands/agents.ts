/** `downlink agents`: lists the agents and whether they can be reached. */
import type { AgentRecord } from '@downlink/protocol'
import type { Command } from 'commander'
import type { CommandContext } from '../command-context.ts'
import { agoText } from '../duration.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { withClient, withExample, withOperatorOptions, type OperatorFlags } from '../operator-command.ts'
import type { Cell } from '../output.ts'
import { presenceCell } from '../wording.ts'

interface AgentsFlags extends OperatorFlags {
  readonly status?: string
}

/** Adds the command. */
export function addAgentsCommand(
  program: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
): void {
  const command = program.command('agents').summary('list the agents').description('List the agents.')
  withOperatorOptions(command)
    .option('--status <status>', 'only agents that are online, late, offline, cloned, blocked or revoked')
    .action((flags: AgentsFlags) => run((context) => listAgents(context, flags)))
  withExample(command, 'agents --status online')
}

async function listAgents(context: CommandContext, flags: AgentsFlags): Promise<ExitCode> {
  const { output, clock } = context
  return withClient(context, flags, async (client) => {
    const filter = flags.status === undefined ? {} : { status: flags.status }
    const rows: (readonly Cell[])[] = []
    for await (const agent of client.agents(filter)) {
      if (flags.json === true) output.json(agent)
      else rows.push(rowOf(agent, clock.wallMs()))
    }
    if (flags.json === true) return EXIT.done
    if (rows.length === 0) output.line('No such agent. Start one here with: downlink agent --name second')
    else output.table(['AGENT', 'STATUS', 'VIA', 'TASKS', 'OPEN CONTROLS', 'LAST SEEN', 'LABELS'], rows)
    return EXIT.done
  })
}

function rowOf(agent: AgentRecord, wallMs: number): readonly Cell[] {
  const labels = Object.entries(agent.labels).map(([name, value]) => `${name}=${value}`)
  return [
    agent.agentId,
    presenceCell(agent.status),
    agent.transport,
    String(agent.taskCount),
    String(agent.openControls),
    agoText(agent.lastSeenAt, wallMs),
    labels.join(' '),
  ]
}
