/** What this hub knows about an agent without having stored it: writes, the last sync, logs, who looks at it. */
import {
  isTerminalStatus,
  limits,
  type Clock,
  type PathReport,
  type PresenceTransition,
  type SyncRequest,
  type TaskReport,
  type TokenBucket,
} from '@downlink/protocol'
import type { StreamProof } from '../delivery/stream-proof.ts'
import type { WriteRecord } from './draft.ts'
import { findControl, type Mailbox } from './mailbox.ts'
import { createTaskLogs, type TaskLogs } from './task-logs.ts'

/** A task as the last sync showed it. */
export interface ReportedTask {
  readonly report: TaskReport
  /** When its status last changed, by the hub's wall clock. */
  readonly changedAtMs: number
}

/** What an original says of one task between two syncs; what it leaves out stays as it was. */
export type TaskUpdate = Partial<TaskReport> & Pick<TaskReport, 'taskId'>

/** What an agent said of itself, by register or sync. */
export interface AgentIdentity {
  readonly name?: string
  readonly version?: string
  readonly os?: string
  readonly arch?: string
  readonly labels?: Readonly<Record<string, string>>
}

/** A change of an agent's presence. */
export interface NotedTransition extends Pick<PresenceTransition, 'status' | 'reason'> {
  /** By the wall clock. */
  readonly atMs: number
}

const NO_WRITES: AgentMemory['writes'] = new Map()
const NO_TASKS: AgentMemory['tasks'] = new Map()
const NO_IDENTITY: AgentIdentity = {}
const NO_TIMES: readonly number[] = []
const NO_TRANSITIONS: readonly NotedTransition[] = []

/**
 * The memory of one agent. Lost with the process; nothing acknowledged rests on it. An idle agent's is one object: what holds
 * something only now and then is shared while it is empty.
 */
export class AgentMemory {
  /** Controls handed to a socket, or (undefined) on their way there. Changed by {@link ownWrites}. */
  writes: ReadonlyMap<string, WriteRecord | undefined> = NO_WRITES
  /** How many changes of its mailbox the store has not yet answered. */
  changing = 0
  /** The mailbox as of the last decision, while any is on its way to the disk. */
  decided: Mailbox | undefined
  /** The newest version of its mailbox that was seen to be committed. */
  committedVersion = 0
  /** Of its tasks, once it has sent any. */
  logs: TaskLogs | undefined
  identity: AgentIdentity = NO_IDENTITY
  tasks: ReadonlyMap<string, ReportedTask> = NO_TASKS
  /** The boot whose sync is in `tasks`, to leave out one that was overtaken. */
  lastBoot: SyncRequest['boot'] | undefined
  acknowledges: boolean | undefined
  lastSeenWallMs: number | undefined
  lastSeenMonotonicMs: number | undefined
  /** What its last sync showed of its stream, and of the path between. */
  streamProof: StreamProof | undefined
  path: PathReport | undefined
  /** What its last sync said keeps it from its work. */
  blockedBy: string | undefined
  /** What the agent was last told, so what may be expected of it, ms. */
  expectedSyncMs: number = limits.SYNC_ACTIVE_MS
  clonedAtMonotonicMs: number | undefined
  /** When the newest boot last synced, on the monotonic clock. */
  newestBootSeenMs: number | undefined
  /** When a stream or poll of an original last took the place of another, oldest first, on the monotonic clock. */
  displacedAtMs: readonly number[] = NO_TIMES
  /** The version of the mailbox that the last sync reply showed; unknown until one was sent. */
  repliedVersion: number | undefined
  /** An operator asked for a sync, and none has begun since. */
  isNudged = false
  /** When a `wake` was last answered true, on the monotonic clock. */
  lastWakeMs: number | undefined
  /** What its next requests may use of its rate. */
  requests: TokenBucket | undefined
  deregistered = false
  /** The last changes of its presence. */
  transitions: readonly NotedTransition[] = NO_TRANSITIONS
  /** Up to when they are told, on the monotonic clock. */
  notedMs = 0
  /** When the last of them was noted, by the latest time of the wall clock: what time alone changed is noted only when somebody looks. */
  changeNotedWallMs: number | undefined
  /** It was revoked here, and has not been enrolled again since. */
  isRevoked = false
  /** Until when somebody looks at it, on the monotonic clock. */
  watchedUntilMs = 0
  /** Operators that wait for one of its controls. */
  waiters = 0
}

/** The memories of all agents that this hub has met. */
export interface AgentMemories {
  /** The memory of an agent that is known to exist; made when missing. */
  of(agentId: string): AgentMemory
  peek(agentId: string): AgentMemory | undefined
  /** With the ids of their agents. */
  all(): Iterable<readonly [agentId: string, memory: AgentMemory]>
}

/** Makes an empty set of memories. */
export function createAgentMemories(): AgentMemories {
  const memories = new Map<string, AgentMemory>()
  return {
    of(agentId) {
      const known = memories.get(agentId)
      if (known !== undefined) return known
      const created = new AgentMemory()
      memories.set(agentId, created)
      return created
    },
    peek: (agentId) => memories.get(agentId),
    all: () => memories,
  }
}

/** Notes that the agent has just sent a request with its key. */
export function rememberSeen(memory: AgentMemory, clock: Clock): void {
  memory.lastSeenWallMs = clock.wallMs()
  memory.lastSeenMonotonicMs = clock.monotonicMs()
  memory.deregistered = false
  memory.isRevoked = false
}

/** Takes in what a committed sync showed; one that a later sync overtook shows tasks as they no longer are. */
export function rememberSync(memory: AgentMemory, request: SyncRequest, wallMs: number): void {
  const { boot } = request
  const overtaken =
    boot !== undefined &&
    memory.lastBoot?.bootNonce === boot.bootNonce &&
    boot.connectCounter < memory.lastBoot.connectCounter
  if (overtaken) return
  if (boot !== undefined) memory.lastBoot = boot
  memory.acknowledges = request.journalId !== undefined
  memory.identity = { ...memory.identity, ...identityOf(request) }
  if (request.tasks.length === 0) {
    memory.tasks = NO_TASKS
    return
  }
  const tasks = new Map<string, ReportedTask>()
  for (const report of request.tasks) {
    const before = memory.tasks.get(report.taskId)
    const { log, ...rest } = report
    if (log !== undefined) (memory.logs ??= createTaskLogs()).take(report.taskId, log)
    const changedAtMs = before?.report.status === report.status ? before.changedAtMs : wallMs
    tasks.set(report.taskId, { report: rest, changedAtMs })
  }
  memory.tasks = tasks
}

/** Takes in what an original says between two syncs, for people to see: its syncs alone settle anything. */
export function rememberUpdates(memory: AgentMemory, updates: readonly TaskUpdate[], wallMs: number): void {
  const tasks = new Map(memory.tasks)
  for (const { log: _, ...update } of updates) {
    const before = tasks.get(update.taskId)
    if (before === undefined && tasks.size >= limits.TASKS_PER_SYNC_MAX) continue
    const report: TaskReport = { status: '', progress: 0, updatedAt: 0, ...before?.report, ...update }
    const changedAtMs = before?.report.status === report.status ? before.changedAtMs : wallMs
    tasks.set(update.taskId, { report, changedAtMs })
  }
  memory.tasks = tasks
}

/** Notes which version of the mailbox a reply showed, now that it was sent; whatever is newer must wake the agent. */
export function rememberReplied(memory: AgentMemory, version: number): void {
  memory.repliedVersion = Math.max(memory.repliedVersion ?? 0, version)
}

/** Whether the last sync showed a task at work. */
export function hasRunningTasks(memory: AgentMemory): boolean {
  for (const { report } of memory.tasks.values()) {
    if (!isTerminalStatus(report.status)) return true
  }
  return false
}

/** Whether somebody looks at the agent now. */
export function isWatched(memory: AgentMemory, monotonicMs: number): boolean {
  return memory.waiters > 0 || monotonicMs < memory.watchedUntilMs
}

/** The writes of `memory`, to be changed. */
export function ownWrites(memory: AgentMemory): Map<string, WriteRecord | undefined> {
  if (memory.writes === NO_WRITES) memory.writes = new Map()
  // Only the shared one must not be changed.
  return memory.writes as Map<string, WriteRecord | undefined>
}

/**
 * Forgets writes that the mailbox has on record, or whose control it no longer knows.
 * Only while nothing is changing: a change may be about to create what this mailbox does not have yet.
 */
export function forgetWrites(memory: AgentMemory, mailbox: Mailbox): void {
  if (memory.writes.size === 0) return
  const writes = ownWrites(memory)
  const open = new Set(mailbox.open.map((entry) => entry.controlId))
  for (const [controlId, write] of writes) {
    if (open.has(controlId)) continue
    const settled = findControl(mailbox, controlId)
    if (write === undefined || settled === undefined || settled.stamps.written !== undefined) {
      writes.delete(controlId)
    }
  }
  if (writes.size === 0) memory.writes = NO_WRITES
}

function identityOf(request: SyncRequest): AgentIdentity {
  const { name, version, os, arch, journalId } = request
  // One of ours says all its labels in every sync: without any it has none, whatever an earlier start of it was given.
  const labels = request.labels ?? (journalId === undefined ? undefined : {})
  return {
    ...(name === undefined ? {} : { name }),
    ...(version === undefined ? {} : { version }),
    ...(os === undefined ? {} : { os }),
    ...(arch === undefined ? {} : { arch }),
    ...(labels === undefined ? {} : { labels }),
  }
}
