/** `downlink agent status`: how an agent on this machine stands, read from its state directory; no hub is asked. */
import type { AgentStatusReport } from '@downlink/agent'
import { field, integerField, isJsonObject, stringField, limits, type JsonObject } from '@downlink/protocol'
import type { Command } from 'commander'
import { readdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import type { CommandContext } from '../command-context.ts'
import { hasCode, shownPath } from '../discovery.ts'
import { durationText } from '../duration.ts'
import { CommandError, EXIT, type ExitCode } from '../exit-codes.ts'
import { withExample } from '../operator-command.ts'

interface StatusFlags {
  readonly json?: boolean
  readonly state?: string
  /** Of the command above, which takes these wherever they stand. */
  readonly data?: string
  readonly name?: string
}

/** Agents of one folder that a line names. */
const NAMES_SHOWN_MAX = 8

/** Adds the command below `agent`; `agentFolder` is where an agent of that name keeps its data. */
export function addAgentStatusCommand(
  agent: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
  agentFolder: (name: string) => string,
): void {
  const command = agent
    .command('status')
    .summary('how an agent on this machine stands')
    .description(
      'Say how the agent on this machine stands, from what it left in its state directory. Give --name or --data as for the agent itself, or --state for a daemon that embeds one.',
    )
    .option('--state <folder>', 'the state directory of a daemon of your own')
    .option('--json', 'one JSON document')
    .action(() => run((context) => showStatus(context, command.optsWithGlobals<StatusFlags>(), agentFolder)))
  withExample(command, 'agent status --name second')
  command.addHelpText(
    'after',
    '\nHere: 0 runs and is in touch, 1 does not run, 3 runs and reaches no hub, 4 runs and the hub refuses it, 5 its process lives and says nothing.',
  )
}

async function showStatus(
  { cwd, clock, output }: CommandContext,
  flags: StatusFlags,
  agentFolder: (name: string) => string,
): Promise<ExitCode> {
  const folder = flags.state ?? join(flags.data ?? agentFolder(flags.name ?? hostname()), 'state')
  const directory = resolve(cwd, folder)
  const shown = shownPath(cwd, directory)
  const wallMs = clock.wallMs()
  // Loaded only now: the operators' commands do without an agent's code, and start sooner.
  const { readAgentStatus } = await import('@downlink/agent')
  const report = await readAgentStatus(directory, wallMs).catch((error: unknown) => {
    if (!hasCode(error, 'EACCES')) throw error
    throw new CommandError(
      EXIT.failed,
      `The status in ${shown} is for the agent's own user only. Ask as that user.`,
    )
  })
  if (report === undefined) {
    if (flags.json === true) output.json({ process: 'none', stateDirectory: directory })
    else
      output.line(
        `No agent has run with its state in ${shown}. ${await othersText(resolve(cwd, agentFolder('x'), '..'))}`,
      )
    return EXIT.failed
  }
  const exitCode = statusExitCode(report)
  if (flags.json === true) output.json({ ...report, stateDirectory: directory })
  else for (const line of statusLines(report, shown, wallMs)) output.line(line)
  return exitCode
}

/** What else may have been meant: the agents that have a folder in `agents`. */
async function othersText(agents: string): Promise<string> {
  const names = await readdir(agents).catch(() => [])
  return names.length === 0
    ? 'See --name, --data and --state; start one with: downlink agent'
    : `Of this folder there are: ${names.slice(0, NAMES_SHOWN_MAX).join(', ')}. Give one as --name, or see --data and --state.`
}

/** What a script learns from the status. */
export function statusExitCode({ process, status }: AgentStatusReport): ExitCode {
  if (process === 'ended' || process === 'died') return EXIT.failed
  if (process === 'silent') return EXIT.notYet
  if (field(status, 'standing') !== 'ok') return EXIT.refused
  return field(status, 'downlink') === 'offline' ? EXIT.unreachable : EXIT.done
}

/** The verdict first, then what it rests on, then what to do. */
export function statusLines(report: AgentStatusReport, shown: string, wallMs: number): readonly string[] {
  const { agentId, pid, process, status } = report
  const lines = [`Agent ${agentId} ${verdictOf(report, wallMs)}`]
  const path = objectOf(field(status, 'path'))
  const advice =
    stringField(status, 'remedy', limits.MESSAGE_CHARS_MAX) ??
    stringField(path, 'remedy', limits.MESSAGE_CHARS_MAX) ??
    adviceOf(report, shown)
  // What a dead process thought of its path says nothing about why it is dead.
  const ownAdvice =
    process === 'running' || field(status, 'standing') === 'revoked' ? advice : adviceOf(report, shown)
  if (ownAdvice !== undefined) lines.push(`  what to do   ${ownAdvice}`)
  if (process === 'ended' || process === 'died') return lines
  return [
    ...lines,
    `  last sync    ${lastSyncText(status, wallMs)}`,
    `  path         ${stringField(path, 'sentence', limits.MESSAGE_CHARS_MAX) ?? 'not known'}`,
    `  controls     ${countsText(status)}`,
    `  tasks        ${tasksText(objectOf(field(status, 'tasks')))}`,
    `  journal      ${stringField(status, 'journal', 64) ?? 'not known'}`,
    `  process      ${pid}, up ${durationText(wallMs - report.startedMs)}, state in ${shown}, as of ${agoText(report.updatedMs, wallMs)}`,
  ]
}

function verdictOf(
  { process, status, updatedMs, endedMs, endReason }: AgentStatusReport,
  wallMs: number,
): string {
  const hub = stringField(status, 'hub', limits.MESSAGE_CHARS_MAX) ?? 'its hub'
  const sinceMs = integerField(status, 'sinceMs', 0, Number.MAX_SAFE_INTEGER)
  const since = sinceMs === undefined ? '' : ` for ${durationText(wallMs - sinceMs)}`
  switch (process) {
    case 'ended':
      return `is not running: it ended ${agoText(endedMs ?? updatedMs, wallMs)} (${endReason ?? 'stopped'}).`
    case 'died':
      return `is NOT RUNNING: its process ended without a word, ${agoText(updatedMs, wallMs)} or later.`
    case 'silent':
      return `says NOTHING: its process lives, and has written nothing since ${agoText(updatedMs, wallMs)}.`
    case 'running':
  }
  const standing = stringField(status, 'standing', 64)
  if (standing !== 'ok') {
    const code = stringField(status, 'code', 64)
    return `runs and is ${(standing ?? 'not ok').toUpperCase()}${code === undefined ? '' : ` (${code})`}${since}, at ${hub}`
  }
  switch (stringField(status, 'downlink', 64) ?? '') {
    case 'sse':
      return `runs, connected by a stream to ${hub}${since}`
    case 'long-poll':
      return `runs, connected by long-polling to ${hub}${since}: no stream works`
    case 'timer':
      return `runs, and reaches ${hub} by its syncs alone${since}: controls wait for the next one`
    default:
      return `runs, and reaches NO HUB${since}: ${hub} does not answer`
  }
}

function adviceOf({ process, pid, status }: AgentStatusReport, shown: string): string | undefined {
  switch (process) {
    case 'ended':
      return 'Start it again: downlink agent, or your own daemon.'
    case 'died':
      return `Look at why in its log or the system's (killed, out of memory), and start it again; its decisions are kept in ${shown}.`
    case 'silent':
      return `See whether it stands stopped or hangs: ps -o stat,wchan:20 -p ${pid}`
    case 'running':
      if (field(status, 'standing') !== 'ok' || field(status, 'downlink') !== 'offline') return undefined
      return 'It tries again by itself. See whether the hub answers from here: curl -sS HUB/healthz'
  }
}

function lastSyncText(status: JsonObject, wallMs: number): string {
  const sync = objectOf(field(status, 'lastSync'))
  if (field(sync, 'atMs') === undefined) return 'none was answered yet'
  const atMs = Number(field(sync, 'atMs'))
  const roundTripMs = Number(field(sync, 'roundTripMs'))
  return `${agoText(atMs, wallMs)}, answered in ${durationText(roundTripMs)}`
}

function countsText(status: JsonObject): string {
  const open = integerField(status, 'openControls', 0, Number.MAX_SAFE_INTEGER) ?? 0
  const unreported = integerField(status, 'unreportedOutcomes', 0, Number.MAX_SAFE_INTEGER) ?? 0
  return `${open} being decided, ${unreported} decided that the hub does not know of yet`
}

function objectOf(value: ReturnType<typeof field>): JsonObject {
  return value !== undefined && isJsonObject(value) ? value : {}
}

function tasksText(tasks: JsonObject): string {
  const counts = Object.entries(tasks)
  const some = counts.filter(([, count]) => typeof count === 'number' && count > 0)
  return some.length === 0 ? 'none' : some.map(([state, count]) => `${Number(count)} ${state}`).join(', ')
}

function agoText(atMs: number, wallMs: number): string {
  return wallMs - atMs < 1_000 ? 'just now' : `${durationText(wallMs - atMs)} ago`
}
