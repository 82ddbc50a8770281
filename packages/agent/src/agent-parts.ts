/** Puts the parts of a running agent together: credential, journal, client, controls, syncs. */
import {
  DownlinkError,
  isAgentId,
  parseToken,
  type Clock,
  type Control,
  type ControlState,
  type Random,
} from '@downlink/protocol'
import type { AgentEvents } from './agent-events.ts'
import type { StatusBoard } from './agent-status.ts'
import { createBoot } from './boot.ts'
import { createAgentClient, type AgentClient } from './client.ts'
import type { ReceivedHeartbeat } from './stream/incoming-events.ts'
import { ControlLoop } from './controls/control-loop.ts'
import { createMemoryJournal, type Journal } from './controls/journal.ts'
import { openJournal } from './controls/open-journal.ts'
import type { Outcome } from './controls/ledger-records.ts'
import type { PatientJournal } from './controls/patient-journal.ts'
import { lockDirectory, type DirectoryLock } from './state-directory/directory-lock.ts'
import { WatchedJournal } from './controls/watched-journal.ts'
import { traceSync } from './diagnostics.ts'
import type { AgentOptions } from './options.ts'
import { KeyRing } from './standing/key-ring.ts'
import { StandingWatch } from './standing/standing-watch.ts'
import { SyncExchange } from './sync/exchange.ts'
import { SyncLoop } from './sync/loop.ts'
import type { TaskRuntime } from './tasks/runtime.ts'

/** What exists before the agent runs. */
export interface AgentBase {
  readonly options: AgentOptions
  readonly clock: Clock
  readonly random: Random
  readonly events: AgentEvents
  readonly board: StatusBoard
  readonly runtime: TaskRuntime
  readonly patientJournal: PatientJournal
  readonly lastHeartbeat: () => ReceivedHeartbeat | undefined
}

/** What exists while it runs. */
export interface AgentParts {
  readonly agentId: string
  readonly client: AgentClient
  readonly journal: Journal
  readonly controls: ControlLoop
  readonly exchange: SyncExchange
  readonly sync: SyncLoop
  readonly keys: KeyRing
  readonly standing: StandingWatch
  /** Absent without a state directory. */
  readonly lock?: DirectoryLock
}

/**
 * Opens what a running agent needs; dials nothing.
 * @throws DownlinkError or the error of the file system if it cannot; then nothing is left open.
 */
export async function openAgentParts(base: AgentBase): Promise<AgentParts> {
  const { options, clock, random } = base
  const { agentId, key } = identify(options, await options.credential.read())
  let journal: Journal | undefined
  const { keys, standing } = createStanding(base, agentId, key, () => ({ client, sync: parts.sync }))
  const client = createAgentClient({
    hubs: options.hubs,
    credential: () => keys.key,
    onAnswer: (answer) => standing.answered(answer),
    boot: createBoot(),
    clock,
    random,
    allowPlainHttp: options.allowPlainHttp ?? false,
    ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    ...(options.transport === undefined ? {} : { transport: options.transport }),
    journalId: () => journal && `${journal.ledger.journalId} ${journal.ledger.openedAt}`,
  })
  const { stateDirectory } = options
  let lock: DirectoryLock | undefined
  try {
    lock = stateDirectory === undefined ? undefined : await lockIfPossible(stateDirectory, base)
    journal = await openKeptJournal(base)
  } catch (error) {
    await lock?.[Symbol.asyncDispose]()
    await client.close()
    throw error
  }
  const parts = assemble(base, agentId, { client, journal, keys })
  return { agentId, client, journal, keys, standing, ...(lock === undefined ? {} : { lock }), ...parts }
}

/** Where no lock can be made, such as on a disk that cannot be written, an agent runs nevertheless. */
async function lockIfPossible(
  directory: string,
  { clock, events }: AgentBase,
): Promise<DirectoryLock | undefined> {
  try {
    return await lockDirectory(directory, clock)
  } catch (error) {
    if (error instanceof DownlinkError) throw error
    events.log(
      'warn',
      { error },
      'the state directory cannot be locked; another agent that used it would not be noticed',
    )
    return undefined
  }
}

/** The key in use and what the hubs say of it. @param running - what exists once anything is asked. */
function createStanding(
  { options, clock, board, events }: AgentBase,
  agentId: string,
  key: string,
  running: () => Pick<AgentParts, 'client' | 'sync'>,
): Pick<AgentParts, 'keys' | 'standing'> {
  events.hide(key)
  const keys = new KeyRing({
    credential: options.credential,
    key,
    clock,
    async ask(signal) {
      const { agentKey } = await running().client.register({ agentId }, { signal })
      // What fails to keep it may name it.
      if (agentKey !== undefined) events.hide(agentKey)
      return agentKey
    },
    onReplaced(next) {
      events.hide(next)
      events.log('info', {}, 'another key is in use')
      running().sync.hubIsBack()
    },
    onTrouble: (error, message) => events.log('warn', { error }, message),
  })
  const standing = new StandingWatch({
    clock,
    mirrors: () => running().client.mirrors.urls,
    onChange: (state) => board.standing(state),
    onAskElsewhere(mirror) {
      running().client.mirrors.leave(mirror)
      running().sync.hubIsBack()
    },
    onReadCredential: () => keys.readAgain(),
  })
  return { keys, standing }
}

function identify(
  options: AgentOptions,
  key: string | undefined,
): { readonly agentId: string; readonly key: string } {
  if (key === undefined) {
    throw new DownlinkError(
      'no_credential',
      'The agent has no credential yet; enroll it with an enrollment key first.',
    )
  }
  const agentId = options.agentId ?? parseToken('agent', key)?.owner
  if (isAgentId(agentId)) return { agentId, key }
  throw new DownlinkError(
    'no_agent_id',
    'This credential names no agent; set `agentId` in the options of createAgent.',
  )
}

/** The journal of the state directory, with its health on the board; or one that ends with the process. */
async function openKeptJournal({ options, clock, board, events, runtime }: AgentBase): Promise<Journal> {
  const { stateDirectory, openJournal: open = openJournal } = options
  if (stateDirectory === undefined) return createMemoryJournal()
  const journal = await open(stateDirectory, clock, {
    async onDamage(tasks) {
      events.log(
        'warn',
        { left: tasks.length },
        'the journal is damaged and put aside: earlier decisions are forgotten, and what its tasks left running is ended',
      )
      await runtime.endLeftovers(tasks)
    },
  })
  return new WatchedJournal(journal, {
    clock,
    onHealth: (works) => board.journal(works),
    onTrouble: (error, message) => events.log('error', { error }, message),
  })
}

function assemble(
  base: AgentBase,
  agentId: string,
  { client, journal, keys }: Pick<AgentParts, 'client' | 'journal' | 'keys'>,
): Pick<AgentParts, 'controls' | 'exchange' | 'sync'> {
  const { options, clock, random, events, board, runtime, patientJournal, lastHeartbeat } = base
  const { name, version, labels, onControl } = options
  const onSyncWanted = (): void => sync.want()
  const controls = new ControlLoop({
    clock,
    journal,
    patientJournal,
    runtime,
    ...(onControl === undefined
      ? {}
      : { decideElsewhere: async (control: Control) => outcomeOf(await onControl(control)) }),
    onOutcome: (control, outcome) => tellOutcome(events, control, outcome),
    onSyncWanted,
    onTrouble: (error, message) => events.log('error', { error }, message),
  })
  const exchange = new SyncExchange({
    agentId,
    about: {
      ...(name === undefined ? {} : { name }),
      ...(version === undefined ? {} : { version }),
      ...(labels === undefined ? {} : { labels }),
    },
    clock,
    journal,
    runtime,
    controls,
    lastHeartbeat,
    path: () => board.path,
    blockedBy: () => board.blockedBy,
    onSyncWanted,
    onUpgrade: (to) => events.emit({ type: 'upgrade', version: to }),
    onKeyOutdated: () => keys.rotate(),
  })
  const sync = new SyncLoop({
    clock,
    random,
    prepare: () => exchange.prepare(),
    send: (request, signal) =>
      traceSync(
        { agentId, hub: () => client.mirrors.current, monotonicMs: () => clock.monotonicMs() },
        request,
        () => client.sync(request, { signal }),
        (roundTripMs) => board.roundTrip(roundTripMs),
      ),
    takeIn: (reply) => exchange.takeIn(reply),
    onSuccess: () => board.syncAnswered(),
    isStreaming: () => board.status.downlink === 'sse',
    onFailure: (error) => {
      board.syncFailed()
      events.log('warn', { error }, 'a sync failed; it is tried again')
    },
  })
  return { controls, exchange, sync }
}

function tellOutcome(events: AgentEvents, control: Control, outcome: Outcome): void {
  const state: ControlState =
    outcome.state === 'applied' ? { state: 'applied', confirmedBy: 'agent' } : outcome
  events.emit({ type: 'control', control, outcome: state })
}

/** What the application's word means for the ledger: anything but a failure says that it is applied. */
function outcomeOf(state: ControlState | undefined | void): Outcome {
  return state?.state === 'failed'
    ? { state: 'failed', code: state.code, message: state.message }
    : { state: 'applied' }
}
