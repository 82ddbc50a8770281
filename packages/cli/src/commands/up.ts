/** `downlink up`: a hub and one agent in this process, a tour, and two sample tasks to try the other commands on. */
import { HttpError } from '@downlink/client'
import type { Command } from 'commander'
import { join } from 'node:path'
import type { CommandContext } from '../command-context.ts'
import { dataFolder, shownPath, type DataFolder } from '../discovery.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import type { LocalHub } from '../local-hub.ts'
import { withExample } from '../operator-command.ts'
import { archiveFolder, startSampleTasks, type SampleTask } from '../sample-tasks.ts'
import { sampleKinds } from '../task-config.ts'
import { watchStates } from '../task-watch.ts'
import { runTour } from '../tour.ts'
import type { AgentProcess } from './agent-process.ts'
import { statusText } from './agent.ts'
import { openHub, tellHub, withHubOptions, type LocalHubFlags } from './hub.ts'

interface UpFlags extends LocalHubFlags {
  readonly tour: boolean
}

const AGENT_ID = 'local'

/** Adds the command. */
export function addUpCommand(
  program: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
): void {
  const command = program
    .command('up')
    .summary('try everything: hub, one agent, sample tasks')
    .description(
      'Run a hub and one agent with sample tasks, show a tour, and stay up for the commands of a second terminal. Ctrl-C ends everything.',
    )
  withHubOptions(command)
    .option('--no-tour', 'leave out the tour')
    .action((flags: UpFlags) => run((context) => runUp(context, flags)))
  withExample(command, 'up --port 0')
}

async function runUp(context: CommandContext, flags: UpFlags): Promise<ExitCode> {
  const { output, cwd } = context
  const signal = context.stopSignal()
  const folder = dataFolder(cwd, flags.data)
  await using hub = await openHub(context, flags, folder, 'up')
  await using agent = await prepareLocalAgent(context, hub, folder)
  output.line('Downlink is up.')
  tellHub(context, flags, folder, hub)
  output.line(`  agent           ${AGENT_ID}, which runs ${Object.keys(sampleKinds()).join(', ')}`)
  output.line()
  // Whatever ends first ends the other: without its agent the rest has nothing to show, and the agent outlives no failure.
  const over = new AbortController()
  const ended = AbortSignal.any([signal, over.signal])
  const running = agent.run(ended).finally(() => over.abort())
  // Awaited below in any case; until then a failure must not count as one that nobody handles.
  running.catch(() => undefined)
  try {
    await show(context, hub, folder, flags, ended)
  } catch (error) {
    if (!ended.aborted) throw error
  } finally {
    if (signal.aborted) output.line('Stopping: the tasks end, the agent reports once more, the hub drains.')
    over.abort()
    await running
  }
  output.line('Stopped; nothing is left running. The next start goes on with the same data.')
  return EXIT.done
}

async function prepareLocalAgent(
  context: CommandContext,
  { client, url }: LocalHub,
  folder: DataFolder,
): Promise<AgentProcess> {
  const { prepareAgent } = await import('./agent-process.ts')
  return prepareAgent(context, {
    folder: join(folder.path, 'agents', AGENT_ID),
    memo: { agentId: AGENT_ID, hubs: [url.href], isLocal: true },
    name: AGENT_ID,
    kinds: sampleKinds(),
    // Named, so that it also stands for an agent whose folder was deleted.
    enrollmentKey: async () => (await client.createEnrollmentKey({ agentId: AGENT_ID })).key,
    isUnknown: await isUnknown(client, AGENT_ID),
    onStatus: (status) => {
      if (status.standing === 'blocked') context.output.problem(statusText(AGENT_ID, status))
    },
  })
}

async function isUnknown(client: LocalHub['client'], agentId: string): Promise<boolean> {
  try {
    await client.agent(agentId)
    return false
  } catch (error) {
    if (error instanceof HttpError && error.status === 404) return true
    throw error
  }
}

/** The tour, the sample tasks, what to try, and then every change, until the signal aborts. */
async function show(
  context: CommandContext,
  hub: LocalHub,
  folder: DataFolder,
  flags: UpFlags,
  signal: AbortSignal,
): Promise<void> {
  const { output, clock, cwd } = context
  const { client } = hub
  if (flags.tour) {
    await runTour({ client, agentId: AGENT_ID, output, clock, signal })
    output.line()
  }
  const samples = await startSampleTasks(client, AGENT_ID, folder.path, signal)
  for (const sample of samples) output.line(sampleText(sample, cwd, folder))
  const archive = samples.find(({ kind }) => kind === 'archive')?.taskId ?? 'archive-1'
  const hash = samples.find(({ kind }) => kind === 'hash')?.taskId ?? 'hash-1'
  output.line()
  output.line('Try in a second terminal, in this folder:')
  // Other commands look into ./.downlink only.
  const isFound = folder.path === dataFolder(cwd).path
  const flagsToFind = isFound
    ? ''
    : ` --hub ${hub.url.origin} --token-file ${shownPath(cwd, folder.tokenFile)}`
  for (const line of [
    'agents',
    `tasks ${AGENT_ID}`,
    `pause ${AGENT_ID} ${archive} --wait`,
    `resume ${AGENT_ID} ${archive} --wait`,
    `logs ${AGENT_ID} ${hash} --follow`,
    `cancel ${AGENT_ID} ${hash} --wait`,
  ]) {
    output.line(`  npx downlink ${line}${flagsToFind}`)
  }
  if (isFound) output.line('  npx downlink agent --name second')
  output.line()
  output.line('Changes, as they come (Ctrl-C ends everything):')
  await watchStates({
    client,
    clock,
    signal,
    tell: (line) => output.line(`  ${timeText(clock.wallMs())}  ${line}`),
  })
}

function sampleText({ taskId, kind, isOld }: SampleTask, cwd: string, folder: DataFolder): string {
  const what =
    kind === 'archive'
      ? `packs files into ${shownPath(cwd, join(archiveFolder(folder.path, taskId), 'archive.tar'))}`
      : 'computes checksums'
  return isOld
    ? `Goes on from the last start: ${taskId} ${what}.`
    : `Started: ${taskId} ${what}, for a minute or so.`
}

function timeText(wallMs: number): string {
  return new Date(wallMs).toTimeString().slice(0, 8)
}
