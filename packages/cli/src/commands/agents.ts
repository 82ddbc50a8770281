/** `downlink agents`: lists the agents and whether they can be reached, or shows one of them. */
import type { AgentRecord } from '@downlink/protocol'
import type { Command } from 'commander'
import type { CommandContext } from '../command-context.ts'
import { agoText, durationText } from '../duration.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import { withClient, withExample, withOperatorOptions, type OperatorFlags } from '../operator-command.ts'
import type { Cell } from '../output.ts'
import { presenceCell, presenceReasonText } from '../wording.ts'

interface AgentsFlags extends OperatorFlags {
  readonly status?: string
}

/** Adds the command. */
export function addAgentsCommand(
  program: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
): void {
  const command = program
    .command('agents')
    .summary('list the agents, or show one')
    .description('List the agents; or show one of them, with the path to it and when it came and went.')
    .argument('[agent]', 'id of an agent')
  withOperatorOptions(command)
    .option('--status <status>', 'only agents that are online, late, offline, cloned, blocked or revoked')
    .action((agentId: string | undefined, flags: AgentsFlags) =>
      run((context) =>
        agentId === undefined ? listAgents(context, flags) : showAgent(context, agentId, flags),
      ),
    )
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

async function showAgent(context: CommandContext, agentId: string, flags: OperatorFlags): Promise<ExitCode> {
  const { output, clock } = context
  return withClient(context, flags, async (client) => {
    const agent = await client.agent(agentId)
    if (flags.json === true) {
      output.json(agent)
      return EXIT.done
    }
    output.table(['AGENT', agent.agentId], detailRows(agent, clock.wallMs()))
    const { transitions = [] } = agent
    if (transitions.length === 0) return EXIT.done
    output.line()
    const changes = transitions.toReversed()
    output.table(
      ['SINCE', 'STATUS', 'WHY'],
      changes.map(({ at, status, reason }) => [at, presenceCell(status), presenceReasonText(reason)]),
    )
    return EXIT.done
  })
}

function detailRows(agent: AgentRecord, wallMs: number): readonly (readonly Cell[])[] {
  const { path, roundTripMs, lagMs = path?.lagMs } = agent
  const system = [agent.os, agent.arch].filter((word) => word !== undefined)
  const facts: readonly (readonly [string, Cell | undefined])[] = [
    ['status', presenceCell(agent.status)],
    ['blocked by', agent.blockedBy],
    ['via', agent.transport],
    ['last seen', agoText(agent.lastSeenAt, wallMs)],
    ['round trip', roundTripMs === undefined ? undefined : durationText(roundTripMs)],
    ['lag', lagMs === undefined ? undefined : durationText(lagMs)],
    ['path', path === undefined ? undefined : [path.sentence, path.remedy].join(' ').trim()],
    ['name', agent.name],
    ['version', agent.version],
    ['system', system.length === 0 ? undefined : system.join(' ')],
    ['labels', labelsText(agent) === '' ? undefined : labelsText(agent)],
    ['key', agent.keyCreatedAt === undefined ? undefined : `since ${agent.keyCreatedAt}`],
    ['tasks', String(agent.taskCount)],
    ['open controls', String(agent.openControls)],
  ]
  return facts.flatMap(([name, cell]) => (cell === undefined ? [] : [[name, cell]]))
}

function labelsText({ labels }: AgentRecord): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}

function rowOf(agent: AgentRecord, wallMs: number): readonly Cell[] {
  return [
    agent.agentId,
    presenceCell(agent.status),
    agent.transport,
    String(agent.taskCount),
    String(agent.openControls),
    agoText(agent.lastSeenAt, wallMs),
    labelsText(agent),
  ]
}
