/** `downlink hub`: runs a hub until it is ended. */
import { limits } from '@downlink/protocol'
import { InvalidArgumentError, type Command } from 'commander'
import type { CommandContext } from '../command-context.ts'
import { dataFolder, shownPath, type DataFolder } from '../discovery.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import type { LocalHub, LocalHubOptions } from '../local-hub.ts'
import { durationArgument, portArgument, withExample } from '../operator-command.ts'
import { drainOf, hubLogger, tuningOf, withTuningOptions, type TuningFlags } from './hub-tuning.ts'

/** The port that a hub takes unless told otherwise. */
const PORT_DEFAULT = 8_787
/** The address that it listens on unless told otherwise: this machine alone. */
const HOST_DEFAULT = '127.0.0.1'

/** Options of a hub that this process runs. */
export interface LocalHubFlags {
  readonly port: number
  readonly host: string
  readonly data?: string
  /** Period of the streams' heartbeats, ms. */
  readonly heartbeat?: number
}

type HubCommandFlags = LocalHubFlags & TuningFlags

/** Adds the command. */
export function addHubCommand(
  program: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
): void {
  const command = program
    .command('hub')
    .summary('run a hub')
    .description('Run a hub until it is ended; a second Ctrl-C ends it at once.')
  withTuningOptions(withHubOptions(command)).action((flags: HubCommandFlags) =>
    run((context) => runHub(context, flags)),
  )
  withExample(command, 'hub --port 0')
}

/** Adds the options of a hub that this process runs. */
export function withHubOptions(command: Command): Command {
  return command
    .option('--port <port>', 'where it listens; 0 for any free port', portArgument, PORT_DEFAULT)
    .option('--host <address>', 'which address of this machine it listens on', HOST_DEFAULT)
    .option('--data <folder>', 'where it keeps everything; other commands look in ./.downlink', './.downlink')
    .option(
      '--heartbeat <duration>',
      'how often every stream shows that it lives; below the idle time-out of what stands between; 15s unless told',
      heartbeatArgument,
    )
}

/** For commander: a period of heartbeats that a hub takes. */
function heartbeatArgument(text: string): number {
  const ms = durationArgument(text)
  if (ms >= limits.HEARTBEAT_MS_MIN && ms <= limits.HEARTBEAT_MS_MAX) return ms
  throw new InvalidArgumentError(
    `Give from ${limits.HEARTBEAT_MS_MIN}ms to ${limits.HEARTBEAT_MS_MAX / 1_000}s.`,
  )
}

async function runHub(context: CommandContext, flags: HubCommandFlags): Promise<ExitCode> {
  const { output } = context
  const signal = context.stopSignal()
  const folder = dataFolder(context.cwd, flags.data)
  await using hub = await openHub(context, flags, folder, 'hub', {
    tuning: tuningOf(flags),
    drain: drainOf(flags),
    logger: hubLogger(context, flags),
  })
  output.line('The hub is up.')
  tellHub(context, flags, folder, hub)
  await aborted(signal)
  output.line('Stopping: streams are told to come back, requests finish.')
  return EXIT.done
}

/** Starts the hub. Its code is loaded only now: the operators' commands do without it, and start sooner. */
export async function openHub(
  context: CommandContext,
  { port, host, heartbeat }: LocalHubFlags,
  folder: DataFolder,
  command: string,
  more: Pick<LocalHubOptions, 'tuning' | 'drain' | 'logger'> = {},
): Promise<LocalHub> {
  const { startLocalHub } = await import('../local-hub.ts')
  const tuning = { ...more.tuning, ...(heartbeat === undefined ? {} : { heartbeatMs: heartbeat }) }
  return startLocalHub(context, { ...more, folder, port, host, command, tuning })
}

/** Says where the hub is and what it keeps. */
export function tellHub(
  { output, cwd }: CommandContext,
  { host }: LocalHubFlags,
  folder: DataFolder,
  { url }: LocalHub,
): void {
  output.line(`  hub             ${url.origin}`)
  if (!isLoopback(host)) {
    output.line(
      `                  open to others on ${host}, unencrypted: put TLS before it, such as a reverse proxy`,
    )
  }
  output.line(`  data            ${shownPath(cwd, folder.path)}`)
  output.line(`  operator token  ${shownPath(cwd, folder.tokenFile)} (readable by you alone)`)
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** Resolves when `signal` has aborted. */
function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
