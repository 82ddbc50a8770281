/** What the connection machines are about: their states, what happens to them, and what they ask for. */
import type { DownlinkEvent, PathReport, TokenBucket } from '@downlink/protocol'
import type { BackoffLimits } from './backoff.ts'
import type { StreamEnd } from '../stream/event-stream.ts'
import { UNKNOWN_PATH, type PathState } from './path-machine.ts'
import type { PollAction, PollEvent, PollFailure, PollHealth, PollState } from './poll-state.ts'

/**
 * How an agent is reached. `auto`: by a stream, by `wake` while no stream works. `sse`: by a stream only. `poll`: by
 * `wake` only. Whatever it is, syncs go on at their pace.
 */
export type DownlinkMode = 'auto' | 'sse' | 'poll'

/** Why a try or a stream failed. */
export type ConnectionFailure = PollFailure

/** What outlives a try. */
export interface ConnectionMemory {
  readonly mode: DownlinkMode
  /** Failures in a row; forgotten only after `STREAM_PROVEN_MS` of good stream. */
  readonly failureCount: number
  /** Those of them where somebody was reached: then `wake` may work where a stream does not. */
  readonly reachedCount: number
  /** Tries in a row, beside `wake`, that brought no stream to stay with. */
  readonly probeCount: number
  /** Streams in a row that ended in order, but too soon. */
  readonly shortCount: number
  /** The last `retry:` that a stream brought, ms. */
  readonly retryMs: number
  /** The last window of first reconnects that a stream told, ms, or 0. */
  readonly windowMs: number
  /** After a lost stream, or for a slot: how long this agent spreads its tries, and how long a refusal is no failure; monotonic, ms. */
  readonly spreadUntilMs: number
  readonly graceUntilMs: number
  /** When a stream was last taken back from `wake`, monotonic, ms, and how often in a row one then failed soon. */
  readonly takenBackMs: number | undefined
  readonly relapseCount: number
  /** When the stream was dialled last, and how long the server, or the standing, forbids another try; monotonic, ms. */
  readonly dialledMs: number
  readonly notBeforeMs: number
  /** What is left of the rate of nudges; in the future while one has to wait for its sync. */
  readonly nudges: TokenBucket | undefined
  readonly poll: PollState
  readonly path: PathState
}

/** Where the connection stands. */
export type ConnectionState = ConnectionMemory &
  (
    | { readonly name: 'connecting' | 'stopped' }
    | {
        readonly name: 'waiting'
        /** When the timer fires, ms. */
        readonly dueMs: number
      }
    | {
        readonly name: 'open'
        readonly openedMs: number
        /** Anything but pings came: the stream was of use. */
        readonly eventSeen: boolean
        readonly frameSeen: boolean
        /** Only beside `wake`: since when frames have come on time, and the last one, ms. */
        readonly onTimeSinceMs: number
        readonly frameMs: number
        /** The server said that this stream will end, and when to come back, ms. */
        readonly drainMs?: number
      }
  )

/** What happens to a connection. */
export type ConnectionEvent =
  | PollEvent
  | { readonly type: 'started' }
  | { readonly type: 'opened' }
  | {
      readonly type: 'frame'
      readonly frame: DownlinkEvent
      /** The period of the server's heartbeats, ms. @defaultValue `HEARTBEAT_MS_DEFAULT` */
      readonly heartbeatMs?: number
      /** Of a heartbeat: how long ago the hub wrote it, ms, if its clock is known. */
      readonly lagMs?: number
    }
  | { readonly type: 'ended'; readonly end: StreamEnd; readonly retryMs?: number }
  | { readonly type: 'failed'; readonly failure: ConnectionFailure; readonly retryAfterMs?: number }
  | { readonly type: 'timer' }
  /** This process, or its machine, stood still for longer than a connection may be silent. */
  | { readonly type: 'resumed' }
  /** A request of another kind was answered. */
  | { readonly type: 'hubAnswered' }
  | { readonly type: 'stop' }

/** What to do now. `setTimer` replaces an earlier timer; its `timer` event counts only in the state `waiting`. */
export type ConnectionAction =
  | PollAction
  | { readonly type: 'dial' }
  /** Ends the try or the stream under way; the event of its end comes as of any other. */
  | { readonly type: 'hangUp' }
  | { readonly type: 'setTimer'; readonly delayMs: number }
  | { readonly type: 'report'; readonly status: ConnectionStatus }

/** What people are told about the connection. */
export interface ConnectionStatus {
  /** Of the stream. */
  readonly name: ConnectionState['name']
  /** Of `wake`, used while no stream has proved itself. */
  readonly poll: PollHealth
  readonly failureCount: number
  /** While waiting: how long, ms. */
  readonly retryInMs?: number
  /** Why it waits, if not by plan. Its code `agent_revoked` or `unauthorized` says that waiting alone will not help. */
  readonly failure?: ConnectionFailure
  /** What is seen of the path to the hub. */
  readonly path: PathReport
}

/** The time and chance of one step, and the limits of the wait. */
export interface ConnectionContext {
  /** Monotonic. */
  readonly nowMs: number
  /** In [0, 1). */
  readonly random: number
  /** @defaultValue `BACKOFF_LIMITS` */
  readonly backoff?: BackoffLimits
}

/** The next state, and what to do. */
export interface ConnectionStep {
  readonly state: ConnectionState
  readonly actions: readonly ConnectionAction[]
}

/** What a step comes to before it is reported. */
export interface ConnectionMove extends ConnectionStep {
  readonly detail?: Pick<ConnectionStatus, 'retryInMs' | 'failure'>
}

/** The state of an open stream. */
export type OpenState = Extract<ConnectionState, { name: 'open' }>

/** Before `started`: waiting without a timer. */
export function initialConnection(mode: DownlinkMode): ConnectionState {
  return {
    name: 'waiting',
    mode,
    failureCount: 0,
    reachedCount: 0,
    probeCount: 0,
    shortCount: 0,
    retryMs: 0,
    windowMs: 0,
    spreadUntilMs: 0,
    graceUntilMs: 0,
    takenBackMs: undefined,
    relapseCount: 0,
    dialledMs: 0,
    notBeforeMs: 0,
    dueMs: 0,
    nudges: undefined,
    poll: { name: 'off' },
    path: UNKNOWN_PATH,
  }
}

/** A state without what belongs to one try or stream. */
export function memoryOf(state: ConnectionMemory): ConnectionMemory {
  return {
    mode: state.mode,
    failureCount: state.failureCount,
    reachedCount: state.reachedCount,
    probeCount: state.probeCount,
    shortCount: state.shortCount,
    retryMs: state.retryMs,
    windowMs: state.windowMs,
    spreadUntilMs: state.spreadUntilMs,
    graceUntilMs: state.graceUntilMs,
    takenBackMs: state.takenBackMs,
    relapseCount: state.relapseCount,
    dialledMs: state.dialledMs,
    notBeforeMs: state.notBeforeMs,
    nudges: state.nudges,
    poll: state.poll,
    path: state.path,
  }
}
