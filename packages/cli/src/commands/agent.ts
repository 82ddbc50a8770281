/** `downlink agent`: enrolls this machine as an agent once, then runs it. */
import type { AgentStatus } from '@downlink/agent'
import { isAgentId } from '@downlink/protocol'
import type { Command } from 'commander'
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { agentMemo, type AgentMemo } from '../agent-memo.ts'
import { networkOf, withNetworkOptions, type NetworkFlags } from '../agent-network.ts'
import type { CommandContext } from '../command-context.ts'
import { hasCode, shownPath } from '../discovery.ts'
import { CommandError, EXIT, type ExitCode } from '../exit-codes.ts'
import { countArgument, withClient, withExample } from '../operator-command.ts'
import { readTaskKinds, sampleKinds } from '../task-config.ts'
import { labelArgument } from '../label-argument.ts'
import { addAgentStatusCommand } from './agent-status.ts'

interface AgentFlags extends NetworkFlags {
  readonly enrollmentKey?: string
  readonly enrollmentKeyFile?: string
  readonly name?: string
  readonly agentId?: string
  readonly data?: string
  readonly config?: string
  readonly concurrency?: number
  readonly label?: Readonly<Record<string, string>>
}

/** How long the key that this command makes for itself is good for, ms: it is used at once. */
const OWN_KEY_TTL_MS = 60_000

/** Adds the command. */
export function addAgentCommand(
  program: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
): void {
  const command = program
    .command('agent')
    .summary('run an agent')
    .description(
      'Enroll this machine as an agent, once, and run it until it is ended. It runs only the commands that its own configuration names.',
    )
  withNetworkOptions(command)
    .option('--enrollment-key <key>', 'needed once, unless the hub runs from this folder')
    .option(
      '--enrollment-key-file <file>',
      'the same from a file, which other users of this machine cannot see',
    )
    .option('--name <name>', "what people call it; this machine's name unless told")
    .option('--agent-id <id>', 'what commands call it; made from the name unless told')
    .option(
      '--data <folder>',
      'where it keeps its credential and decisions; ./.downlink/agents/NAME unless told',
    )
    .option(
      '--config <file>',
      'the commands that it may run; the samples archive, counter and hash unless told',
    )
    .option('--concurrency <count>', 'how many tasks run at once; 4 unless told', countArgument)
    .option('--label <name=value>', 'a label that people find it by; may stand several times', labelArgument)
    .action((flags: AgentFlags) => run((context) => runAgent(context, flags)))
  withExample(command, 'agent --name second')
  addAgentStatusCommand(command, run, agentFolder)
}

/** The id that a name gives: what is not allowed in one becomes a dash. */
export function agentIdOf(name: string): string {
  const id = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+|-+$/g, '')
    .slice(0, 64)
  return id === '' ? 'agent' : id
}

/** Where an agent of this name keeps its data, unless told otherwise. */
function agentFolder(name: string): string {
  return join('.downlink', 'agents', agentIdOf(name))
}

async function runAgent(context: CommandContext, flags: AgentFlags): Promise<ExitCode> {
  const { cwd, output } = context
  const name = flags.name ?? hostname()
  const wantedId = flags.agentId ?? agentIdOf(name)
  if (!isAgentId(wantedId)) {
    throw new CommandError(
      EXIT.usage,
      'An agent id is 1 to 128 letters, digits or ._:@-, and begins with a letter or digit.',
    )
  }
  const folder = resolve(cwd, flags.data ?? agentFolder(name))
  // Loaded only now: the operators' commands do without an agent's code, and start sooner.
  const { prepareAgent } = await import('./agent-process.ts')
  const memo = await agentMemo(cwd, folder, wantedId, flags)
  const network = await networkOf(cwd, flags)
  const kinds = flags.config === undefined ? sampleKinds() : await readTaskKinds(resolve(cwd, flags.config))
  const signal = context.stopSignal()
  let told = ''
  const tellStatus = (status: AgentStatus): void => {
    const text = statusText(memo.agentId, status)
    // A path that is fine now is no news beside a connection that was said; nor is what a stop makes of it.
    if (text === told || signal.aborted) return
    told = text
    output.line(text)
  }
  await using agent = await prepareAgent(context, {
    folder,
    memo,
    name,
    kinds,
    enrollmentKey: () => enrollmentKeyOf(context, flags, memo),
    onStatus: tellStatus,
    ...(flags.concurrency === undefined ? {} : { concurrency: flags.concurrency }),
    ...(flags.label === undefined ? {} : { labels: flags.label }),
    network,
  })
  output.line(
    `Agent ${memo.agentId} runs ${Object.keys(kinds).join(', ')} for ${memo.hubs.join(' and ')}; data in ${shownPath(cwd, folder)}.`,
  )
  const { reason } = await agent.run(signal)
  if (reason === 'revoked') {
    throw new CommandError(
      EXIT.refused,
      `Agent ${memo.agentId} was revoked by the hub; it has stopped, and its credential is put aside in ${shownPath(cwd, folder)}. To use it again, enroll it with a new key: --enrollment-key-file FILE`,
    )
  }
  output.line(`Agent ${memo.agentId} has stopped; nothing of its tasks runs any more.`)
  return EXIT.done
}

async function enrollmentKeyOf(context: CommandContext, flags: AgentFlags, memo: AgentMemo): Promise<string> {
  if (flags.enrollmentKey !== undefined) return flags.enrollmentKey.trim()
  if (flags.enrollmentKeyFile !== undefined) {
    const file = resolve(context.cwd, flags.enrollmentKeyFile)
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      if (hasCode(error, 'ENOENT'))
        throw new CommandError(EXIT.usage, `There is no file ${file} with an enrollment key.`)
      throw error
    })
    return text.trim()
  }
  if (!memo.isLocal) {
    throw new CommandError(
      EXIT.usage,
      `This agent is not enrolled yet. On the hub's machine make a key with downlink enroll, and give it: --enrollment-key-file FILE`,
    )
  }
  const key = await withClient(context, {}, (client) => client.createEnrollmentKey({ ttlMs: OWN_KEY_TTL_MS }))
  return key.key
}

/** One line about where the agent stands. */
export function statusText(
  agentId: string,
  { standing, code, downlink, hub, path, remedy }: AgentStatus,
): string {
  if (standing !== 'ok')
    return `Agent ${agentId} is ${standing} (${code ?? 'no code'}). ${remedy ?? ''}`.trim()
  const why = path.remedy === undefined ? '' : ` ${path.sentence} ${path.remedy}`
  switch (downlink) {
    case 'sse':
      return `Agent ${agentId} is connected to ${hub.origin}.`
    case 'long-poll':
      return `Agent ${agentId} is connected to ${hub.origin} by long-polling, as no stream works for now.${why}`
    case 'timer':
      return `Agent ${agentId} reaches ${hub.origin}, without a stream for now.${why}`
    case 'offline':
      return `Agent ${agentId} does not reach ${hub.origin}; it tries again by itself.${why}`
  }
}
