/** What an agent is made of. */
import type {
  Clock,
  Control,
  ControlState,
  Logger,
  PathAdvice,
  PathReport,
  Random,
  TaskStatus,
} from '@downlink/protocol'
import type { DownlinkMode } from './downlink/connection-state.ts'
import type { AgentTls } from './http/connector.ts'
import type { AgentTransport } from './http/transport.ts'
import type { openJournal } from './controls/open-journal.ts'
import type { Credential } from './standing/credential.ts'
import type { TaskExecutor } from './tasks/executor.ts'
import type { AnyTaskDefinition } from './tasks/handler-executor.ts'

/** A kind of task that something other than a handler runs, such as {@link processTask}. */
export interface ExecutorTask {
  createExecutor(clock: Clock): TaskExecutor
}

/** Kinds of task by name; nothing else is ever run, whatever a hub asks. */
export type TaskMap = Readonly<Record<string, AnyTaskDefinition | ExecutorTask>>

/** The options of `createAgent`. */
export interface AgentOptions {
  /** Base URLs of the hub: home, and mirrors of it. Each is sent the credential. */
  readonly hubs: readonly (string | URL)[]
  readonly credential: Credential
  /** @defaultValue the agent id in the credential; needed with keys of servers that put none in */
  readonly agentId?: string
  readonly tasks?: TaskMap
  readonly name?: string
  /** The application's version. */
  readonly version?: string
  readonly labels?: Readonly<Record<string, string>>
  /** How many tasks run at once. @defaultValue 4 */
  readonly concurrency?: number
  /**
   * Where decisions are kept, so that a restart neither repeats nor forgets one. Without it they live in memory, and
   * every start tells the hub that the journal was lost. One process at a time may use it.
   */
  readonly stateDirectory?: string
  readonly logger?: Logger
  /**
   * Decides controls of tasks that neither `tasks` started nor `track` made known, and verbs that those do not have.
   * Undefined as result means applied; an error fails the control. Called once per control, unless a crash interrupted
   * it; a server of the original wire hands out cancel and pause with every sync until they show.
   */
  readonly onControl?: (
    control: Control,
  ) => ControlState | undefined | void | Promise<ControlState | undefined | void>
  /** Send the credential unencrypted to hosts other than this machine. @defaultValue false */
  readonly allowPlainHttp?: boolean
  /**
   * How news reach the agent: `sse` by a stream, `poll` by long-polling, `auto` by a stream and, while no stream works,
   * by long-polling. Whatever it is, syncs go on at the pace that the hub sets. @defaultValue `auto`
   */
  readonly mode?: DownlinkMode
  /**
   * The proxy through which hubs on https are reached, by a tunnel; false for none. @defaultValue that of `https_proxy`
   * or `HTTPS_PROXY`, but for hosts in `no_proxy` or `NO_PROXY` and this machine
   */
  readonly proxy?: false | string | URL
  readonly tls?: AgentTls
  /** Carries the requests in the place of the network; for tests, see `@downlink/agent/testing`. @defaultValue sockets */
  readonly transport?: AgentTransport
  /** @defaultValue the clock of this machine */
  readonly clock?: Clock
  /** @defaultValue the random source of this machine */
  readonly random?: Random
  /** @internal */
  readonly livenessMsMin?: number
  /** @internal */
  readonly openJournal?: typeof openJournal
}

/** How an agent stands. */
export interface AgentStatus {
  /**
   * `blocked`: the hub refuses it, or its journal cannot be written; it stays up and tries again each minute.
   * `revoked`: confirmed, so that `run` ends.
   */
  readonly standing: 'ok' | 'blocked' | 'revoked'
  /** Why it is not `ok`, such as `agent_hash_taken`. */
  readonly code?: string
  /**
   * What brings news: a stream, long-polling, or only the syncs, at their pace (`timer`). `offline`: none of them works.
   */
  readonly downlink: 'sse' | 'long-poll' | 'timer' | 'offline'
  /** The mirror in use. */
  readonly hub: URL
  /** What a person can do about it. */
  readonly remedy?: string
  /** Since when standing, downlink, mirror and remedy are as they are, ms since the Unix epoch. */
  readonly sinceMs: number
  /** The last sync that was answered: when, ms since the Unix epoch, and how long the hub took. */
  readonly lastSync?: { readonly atMs: number; readonly roundTripMs: number }
  /** Controls that are journalled and not decided yet, and outcomes that the hub does not have yet. */
  readonly openControls: number
  readonly unreportedOutcomes: number
  /** How many tasks the agent holds in each state. */
  readonly tasks: Readonly<Record<TaskStatus, number>>
  /** `closed` before and after `run`; `memory` without a state directory; `failing` while it cannot be written. */
  readonly journal: 'closed' | 'memory' | 'ok' | 'failing'
  /** What is seen of the path to the hub: a verdict with its sentence and, if something is wrong, a remedy. */
  readonly path: PathReport & PathAdvice
}

/** What an agent tells the application that embeds it. */
export type AgentEvent =
  | { readonly type: 'status'; readonly status: AgentStatus }
  | { readonly type: 'control'; readonly control: Control; readonly outcome: ControlState }
  | { readonly type: 'upgrade'; readonly version: string }
