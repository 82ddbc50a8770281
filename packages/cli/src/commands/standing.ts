/** `downlink rotate | revoke`: another key for an agent, or none any more. */
import type { OperatorClient } from '@downlink/client'
import { delay, limits, type AgentRecord } from '@downlink/protocol'
import { Option, type Command } from 'commander'
import type { CommandContext } from '../command-context.ts'
import { durationText } from '../duration.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import {
  durationArgument,
  withClient,
  withExample,
  withOperatorOptions,
  type OperatorFlags,
} from '../operator-command.ts'

type Run = (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>

interface RotateFlags extends OperatorFlags {
  /** `true` without a duration. */
  readonly wait?: number | true
}

/** Adds the two commands. */
export function addStandingCommands(program: Command, run: Run): void {
  const rotate = program
    .command('rotate')
    .summary("replace an agent's key")
    .description(
      'Have an agent replace its key. The old one holds until the new one is kept and used, so nothing is cut off.',
    )
    .argument('<agent>', 'id of the agent')
  withOperatorOptions(rotate)
    .addOption(
      new Option(
        '--wait [duration]',
        `wait until the new key is in use, ${durationText(limits.CLIENT_WAIT_MS_DEFAULT)} unless told; stands last, or as --wait=10s`,
      ).argParser(durationArgument),
    )
    .action((agentId: string, flags: RotateFlags) => run((context) => rotateKey(context, agentId, flags)))
  withExample(rotate, 'rotate local --wait')

  const revoke = program
    .command('revoke')
    .summary('end an agent for good')
    .description(
      'Revoke an agent: its keys hold no more, its open controls fail, and it stops by itself once it has been told twice.',
    )
    .argument('<agent>', 'id of the agent')
  withOperatorOptions(revoke).action((agentId: string, flags: OperatorFlags) =>
    run((context) => revokeAgent(context, agentId, flags)),
  )
  withExample(revoke, 'revoke second')
}

async function rotateKey(context: CommandContext, agentId: string, flags: RotateFlags): Promise<ExitCode> {
  const { clock, output } = context
  return withClient(context, flags, async (client) => {
    const startedMs = clock.monotonicMs()
    const asked = await client.rotateKey(agentId)
    const timeoutMs = typeof flags.wait === 'number' ? flags.wait : limits.CLIENT_WAIT_MS_DEFAULT
    const agent =
      flags.wait === undefined ? asked : await untilRotated(context, client, agentId, startedMs + timeoutMs)
    const isDone = agent.keyRotation === undefined
    const tookMs = clock.monotonicMs() - startedMs
    if (flags.json === true) output.json(agent)
    else if (isDone)
      output.line(`${agentId} uses a new key; known ${durationText(tookMs)} after the request.`)
    else if (flags.wait === undefined) {
      output.line(`Asked: ${agentId} replaces its key when it next syncs. With --wait you see when it has.`)
    } else {
      output.problem(
        `Not known yet: ${agentId} (${agent.status}) did not use a new key within ${durationText(tookMs)}. It is told again with every sync.`,
      )
    }
    return isDone || flags.wait === undefined ? EXIT.done : EXIT.notYet
  })
}

async function untilRotated(
  { clock }: CommandContext,
  client: OperatorClient,
  agentId: string,
  deadlineMs: number,
): Promise<AgentRecord> {
  for (;;) {
    const agent = await client.agent(agentId)
    const leftMs = deadlineMs - clock.monotonicMs()
    if (agent.keyRotation === undefined || leftMs <= 0) return agent
    await delay(clock, Math.min(leftMs, limits.CLIENT_WAIT_AGAIN_MS))
  }
}

async function revokeAgent(
  context: CommandContext,
  agentId: string,
  flags: OperatorFlags,
): Promise<ExitCode> {
  const { output } = context
  return withClient(context, flags, async (client) => {
    await client.revokeAgent(agentId)
    if (flags.json === true) output.json(await client.agent(agentId))
    else {
      output.line(
        `${agentId} is revoked. Its process stops within about a minute of hearing it. To use the id again, enroll it anew: downlink enroll --agent-id ${agentId}`,
      )
    }
    return EXIT.done
  })
}
