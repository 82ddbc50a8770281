/** What the calls of the operators' client can be told. */
import type { Clock, OperatorTokenRequest, Random } from '@downlink/protocol'
import type { ControlUntil } from './control-wait.ts'

/** Options of `createOperatorClient`. */
export interface OperatorClientOptions {
  /** The hub's base URL, such as `https://hub.example.com`. */
  readonly url: string | URL
  /** An operator's token. It is sent to this URL only; redirects are not followed. */
  readonly token: string
  /** @defaultValue the global `fetch` */
  readonly fetch?: typeof fetch
  /** @defaultValue that of this machine */
  readonly clock?: Clock
  /** For jitter only. @defaultValue that of this machine */
  readonly random?: Random
  /** Sends the token unencrypted to a hub that is not on this machine. @defaultValue false */
  readonly allowPlainHttp?: boolean
}

/** Which agents to list. */
export interface AgentFilter {
  readonly status?: string
  /** A label selector: `region=eu,tier!=test,owner,!retired`. */
  readonly label?: string
  readonly signal?: AbortSignal
}

/** Which agents to nudge, and over which time. */
export interface NudgeFilter extends AgentFilter {
  /** They come at random times within it, ms, at most 300,000. @defaultValue what the hub needs for all its agents */
  readonly withinMs?: number
}

/** How long to wait, and for what. */
export interface WaitOptions {
  /** @defaultValue `accepted`: no wait */
  readonly until?: ControlUntil
  /** Ends the wait, ms; what is known then is returned. May be longer than the hub holds one request. @defaultValue 10,000 */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** How a task is started. */
export interface StartOptions {
  /** @defaultValue one that the hub makes */
  readonly taskId?: string
  /** The same key and task again give the same task. @defaultValue a fresh one */
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
}

/** How a control is issued. */
export interface ControlOptions extends WaitOptions {
  /** Time to live, ms. @defaultValue the hub's: an hour, none for `cancel` */
  readonly ttlMs?: number
  /** The same key and control again give the same control. @defaultValue a fresh one */
  readonly idempotencyKey?: string
}

/** How a batch of controls is issued. */
export interface BatchOptions {
  /** The same key and batch again give the same controls; at most 120 characters. @defaultValue a fresh one */
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
}

/** What part of the audit trail to read. */
export interface AuditFilter {
  readonly agentId?: string
  readonly controlId?: string
  readonly since?: Date
  /** The id of the last fact that was read: goes on behind it. */
  readonly after?: string
  readonly signal?: AbortSignal
}

/** Where the feed begins, and of whom it tells. */
export interface FeedOptions {
  /** The id of the last event that was seen. @defaultValue only what happens from now on */
  readonly after?: string | undefined
  readonly agentId?: string
  readonly signal?: AbortSignal
}

/** What an enrollment key allows. */
export interface EnrollmentKeyOptions {
  /** How many agents it may enroll. @defaultValue 1 */
  readonly uses?: number
  readonly ttlMs?: number
  /** Given to every agent that enrolls with it. */
  readonly labels?: Readonly<Record<string, string>>
  /** The only agent that it may enroll; that agent may exist already. */
  readonly agentId?: string
  readonly signal?: AbortSignal
}

/** What an operator's token allows, and for how long. */
export interface OperatorTokenOptions extends OperatorTokenRequest {
  readonly signal?: AbortSignal
}
