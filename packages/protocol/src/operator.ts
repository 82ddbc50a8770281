/** What operators see: agents, tasks, controls and the feed, as the operator API returns them. */
import type { Control, ControlState } from './controls.ts'
import type { Json } from './json.ts'
import type { PathAdvice, PathReport } from './path.ts'

/** The five moments of a control's life, in order. */
export const STAMP_NAMES = ['created', 'written', 'received', 'applied', 'observed'] as const
/** One of {@link STAMP_NAMES}. */
export type StampName = (typeof STAMP_NAMES)[number]

/** When something happened and who says so. */
export interface Stamp {
  /** ISO 8601, by the hub's wall clock. */
  readonly at: string
  /** `hub`, `agent`, or the name of an operator. */
  readonly by: string
}

/** A control as operators see it. */
export interface ControlRecord extends Control {
  readonly controlId: string
  readonly agentId: string
  readonly epoch: number
  readonly revision: number
  readonly lane: string
  readonly outcome: ControlState
  readonly stamps: Readonly<Partial<Record<StampName, Stamp>>>
  /** It is no longer handed out, but was written once, so the agent may still apply it. */
  readonly mayHaveApplied?: true
  /** Handed to an original agent, which acknowledges nothing; nobody will ever confirm it. */
  readonly unconfirmed?: true
  /** A cancel was applied, and then its task reported another end, such as `completed`: it will never be observed. */
  readonly endedOtherwise?: true
  /** What the agent said after the control had been superseded or had expired. */
  readonly lateOutcome?: ControlState
}

/**
 * Where a task stands. `assigned`: not yet listed by its agent. `gone`: an original agent no longer lists it.
 * `cancelled` is shown only when observed.
 */
export type TaskState =
  | 'assigned'
  | 'queued'
  | 'running'
  | 'paused'
  | 'cancelled'
  | 'completed'
  | 'failed'
  | 'gone'

/** A task as operators see it. */
export interface TaskRecord {
  readonly agentId: string
  readonly taskId: string
  readonly kind?: string
  readonly state: TaskState
  /** An observed cancel that a later sync contradicted. */
  readonly diverged?: true
  /** 0 to 1; from memory, so unknown until the agent's next sync after a restart of the hub. */
  readonly progress?: number
  readonly message?: string
  readonly errorMessage?: string
  /** Why it failed, for programs: `timed_out`, `interrupted`, `bad_input`, or what the application says. */
  readonly errorCode?: string
  /** It was told to end and still runs after a grace: its handler ignores the cancel. From memory, as `progress`. */
  readonly unresponsive?: true
  readonly result?: Json
  /** ISO 8601, by the hub's wall clock: when `state` last changed. */
  readonly changedAt: string
}

/**
 * Whether an agent can be reached. `late`: no proof of life within the expected time, or none that its stream brings anything
 * . `blocked`: it is up, and says that something keeps it from its work.
 */
export type AgentPresence = 'online' | 'late' | 'offline' | 'cloned' | 'blocked' | 'revoked'

/**
 * Why an agent's presence changed: it sent something; no proof of life came in time; its stream is open but nothing shows that
 * it brings anything; it said good-bye; two copies of it show life; it says what keeps it from its work; an operator revoked it.
 */
export type PresenceReason =
  | 'seen'
  | 'silent'
  | 'unproven'
  | 'good-bye'
  | 'two-copies'
  | 'blocked'
  | 'revoked'

/** One change of an agent's presence. */
export interface PresenceTransition {
  /** ISO 8601, by the hub's wall clock. */
  readonly at: string
  readonly status: AgentPresence
  readonly reason: PresenceReason
}

/** An agent as operators see it. */
export interface AgentRecord {
  readonly agentId: string
  readonly status: AgentPresence
  readonly transport: 'stream' | 'poll' | 'none'
  readonly labels: Readonly<Record<string, string>>
  readonly name?: string
  readonly version?: string
  readonly os?: string
  readonly arch?: string
  /** Whether it acknowledges controls; `false` for an original agent, absent before its first sync. */
  readonly acknowledges?: boolean
  /** ISO 8601, by the hub's wall clock. */
  readonly lastSeenAt?: string
  /** ISO 8601, by the hub's wall clock: since when its key exists. */
  readonly keyCreatedAt?: string
  /** An operator asked for another key, and the agent does not use one yet. */
  readonly keyRotation?: 'asked'
  /** From the hub's writing of a heartbeat to its echo in the last sync, ms: the way down and up. */
  readonly roundTripMs?: number
  /** How late the heartbeat of that echo came to the agent, ms, beyond the quickest way that it knows. */
  readonly lagMs?: number
  /** What the agent sees of the path between, in one word and in a sentence with its remedy. */
  readonly path?: PathReport & PathAdvice
  /** What it says keeps it from its work, such as `journal_unavailable`. */
  readonly blockedBy?: string
  readonly openControls: number
  readonly taskCount: number
  /** The last changes of `status`, oldest first; only where one agent is asked for. From memory: a hub that starts knows none. */
  readonly transitions?: readonly PresenceTransition[]
}

/** One fact of the audit trail: what happened, when, to whom. */
export interface AuditEntry {
  /** Grows; the place to go on from. */
  readonly id: string
  /** ISO 8601, by the hub's wall clock. */
  readonly at: string
  /** Such as `control.created` or `agent.revoked`. */
  readonly kind: string
  readonly agentId?: string
  readonly controlId?: string
  readonly taskId?: string
  /** The whole control as it was then, or what else there is to say; `by` names who did it. */
  readonly data: Json
}

/** What a token allows: looking, sending controls, starting tasks, everything. */
export const OPERATOR_SCOPES = ['read', 'control', 'run', 'admin'] as const
/** One of {@link OPERATOR_SCOPES}. `admin` includes the others. */
export type OperatorScope = (typeof OPERATOR_SCOPES)[number]

/** An operator's token as operators see it. */
export interface OperatorTokenRecord {
  readonly id: string
  /** Whose it is: this name stands in stamps and in the audit trail. */
  readonly name: string
  readonly scopes: readonly OperatorScope[]
  readonly state: 'usable' | 'expired' | 'revoked'
  /** ISO 8601, by the hub's wall clock, as all times here. */
  readonly createdAt: string
  /** The operator whose token made it, or `hub`. */
  readonly createdBy: string
  /** Absent for a token that does not expire. Counted while a hub serves. */
  readonly expiresAt?: string
  /** To the hour, so that a request needs no commit; absent until it was used. */
  readonly lastUsedAt?: string
}

/** An enrollment key as operators see it. */
export interface EnrollmentKeyRecord {
  readonly id: string
  readonly state: 'usable' | 'used' | 'expired' | 'revoked'
  /** How many agents it may enroll, and how many it has. */
  readonly usesMax: number
  readonly usesCount: number
  /** Given to every agent that enrolls with it. */
  readonly labels: Readonly<Record<string, string>>
  /** The only agent that it may enroll. */
  readonly agentId?: string
  /** ISO 8601, by the hub's wall clock, as all times here. */
  readonly createdAt: string
  /** The operator who made it. */
  readonly createdBy: string
  /** Counted while a hub serves. */
  readonly expiresAt: string
}

/** The body of `POST /api/v1/operator-tokens`. */
export interface OperatorTokenRequest {
  readonly name: string
  readonly scopes: readonly OperatorScope[]
  /** How long it is good for, ms; for ever unless told. */
  readonly ttlMs?: number
}

/** Something that changed; its id is where to go on from, of a changed presence the id of the event before. */
export type FeedEvent = { readonly id: string } & (
  | { readonly type: 'agent'; readonly agent: AgentRecord }
  | { readonly type: 'task'; readonly task: TaskRecord }
  | { readonly type: 'control'; readonly control: ControlRecord }
  /** The feed begins here: what is listed from now on misses nothing. */
  | { readonly type: 'begin' }
  /** What was shown may be out of date. The reason is `history_dropped`, `hub_restarted` or `many_changes`; more may come. */
  | { readonly type: 'reset'; readonly reason?: string }
)

/** One page of a listing; `nextCursor` is absent on the last. */
export interface Page<T> {
  readonly items: readonly T[]
  readonly nextCursor?: string
}

/** The body of `POST …/controls`. */
export interface ControlRequest {
  readonly action: string
  readonly taskId: string
  readonly args?: Json
  readonly ttlMs?: number
  readonly lane?: 'queue' | 'latest'
  readonly delivery?: 'atMostOnce' | 'atLeastOnce'
}

/** One control of a batch: whose it is, and what it asks for. */
export interface AgentControlRequest extends ControlRequest {
  readonly agentId: string
}

/** Which agents, and which of their tasks, a broadcast means. */
export interface ControlSelector {
  /** A label selector: `region=eu,tier!=test,owner,!retired`; absent or empty for all agents. */
  readonly label?: string
  readonly status?: AgentPresence
  /** Where no `taskId` is named: only the tasks of this kind. */
  readonly kind?: string
}

/** One control for every agent that is meant: about the task named, or about every unfinished one that is meant. */
export interface BroadcastRequest extends Omit<ControlRequest, 'taskId'> {
  readonly selector: ControlSelector
  readonly taskId?: string
  /** Of the reply before: where to go on. */
  readonly cursor?: string
}

/** The body of `POST /api/v1/controls`. */
export type ControlsRequest = BroadcastRequest | { readonly items: readonly AgentControlRequest[] }

/** The body of `POST /api/v1/sync`: which agents shall sync, and over which time. */
export interface NudgeRequest {
  readonly selector: Pick<ControlSelector, 'label' | 'status'>
  /** They come at random times within it, ms, at most `RETRY_MS_MAX`. @defaultValue the hub's window */
  readonly withinMs?: number
  /** Of the reply before: where to go on. */
  readonly cursor?: string
}

/** How many agents a nudge of many reached, and over which time they come. */
export interface NudgeReply {
  readonly nudged: number
  readonly withinMs: number
  readonly nextCursor?: string
}

/** What became of one control of a batch: made, or refused with a code and a sentence. */
export type BatchControlResult = { readonly agentId: string; readonly taskId: string } & (
  | { readonly controlId: string }
  | { readonly error: string; readonly message: string }
)

/** The body of `POST …/tasks`. */
export interface TaskRequest {
  readonly kind: string
  readonly input?: Json
  readonly taskId?: string
}
