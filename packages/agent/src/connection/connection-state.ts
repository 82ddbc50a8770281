/** What the connection machine is about: its states, what happens to it, and what it asks for. */
import type { DownlinkEvent } from '@downlink/protocol'
import type { BackoffLimits } from './backoff.ts'
import type { StreamEnd } from './event-stream.ts'
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
  /** The last `retry:` that a stream brought, ms. */
  readonly retryMs: number
  /** When the stream was dialled last, and how long the server, or the standing, forbids another try; monotonic, ms. */
  readonly dialledMs: number
  readonly notBeforeMs: number
  readonly poll: PollState
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
    }
  | { readonly type: 'ended'; readonly end: StreamEnd; readonly retryMs?: number }
  | { readonly type: 'failed'; readonly failure: ConnectionFailure; readonly retryAfterMs?: number }
  | { readonly type: 'timer' }
  | { readonly type: 'stop' }

/** What to do now. `setTimer` replaces an earlier timer; its `timer` event counts only in the state `waiting`. */
export type ConnectionAction =
  | PollAction
  | { readonly type: 'dial' }
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
