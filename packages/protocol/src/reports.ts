/** What an agent says in a sync and what the hub answers, with the readers for both. */
import {
  compareRevisions,
  parseControls,
  isStateVerb,
  type Control,
  type Revision,
  type StateVerb,
} from './controls.ts'
import {
  arrayField,
  field,
  integerField,
  isJsonObject,
  stringField,
  type Json,
  type JsonObject,
} from './json.ts'
import * as limits from './limits.ts'
import { optionalTexts } from './optional-texts.ts'
import { parsePathReport, type PathReport } from './path.ts'
import { parseTaskReport, type TaskReport } from './task-report.ts'

/** What an agent decided about one control. `stale` decides nothing: it says what the agent had seen in that lane. */
export type OutcomeReport = Revision & {
  readonly controlId: string
  /** How long ago by the agent's monotonic clock, ms. */
  readonly agoMs?: number
} & (
    | { readonly state: 'applied' }
    | { readonly state: 'failed'; readonly code: string; readonly message: string }
    | { readonly state: 'stale'; readonly highWater: Revision; readonly local: boolean }
  )

/** A pause, resume or cancel made on the agent itself. */
export interface DecisionReport {
  readonly decisionId: string
  readonly taskId: string
  readonly action: StateVerb
  /** The highest revision the agent had seen in the task's lane; controls up to it are stale there. */
  readonly basedOn: Revision
  readonly agoMs?: number
}

/** A heartbeat's counter and hub time given back, so that the hub knows what reached the agent. */
export interface HeartbeatEcho {
  readonly counter: number
  readonly hubMs: number
  readonly agoMs: number
  /** How late it came, ms, by the hub's clock as far as its replies tell that; absent before the first. */
  readonly lagMs?: number
}

/** Which start of which process speaks, and how many requests it has begun. */
export interface Boot {
  readonly bootNonce: string
  readonly connectCounter: number
}

/** The body of `POST sync`. An original sends `agentId`, `tasks` and `freeSlots` only. */
export interface SyncRequest {
  readonly agentId: string
  readonly tasks: readonly TaskReport[]
  readonly freeSlots: number
  readonly version?: string
  readonly name?: string
  readonly os?: string
  readonly arch?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly boot?: Boot
  /** Names the agent's journal; a new one means that it lost what it had decided. Present in every sync of an agent that acknowledges. */
  readonly journalId?: string
  /** How many records that journal ever took. */
  readonly journalPosition?: number
  /** As many as it had when this boot opened it: fewer than an earlier boot told mean that an earlier copy was put back. */
  readonly journalOpenedAt?: number
  readonly outcomes: readonly OutcomeReport[]
  /** Controls that the agent has journalled but not yet decided. */
  readonly received: readonly string[]
  readonly decisions: readonly DecisionReport[]
  readonly heartbeat?: HeartbeatEcho
  /** What the agent sees of the path between. */
  readonly path?: PathReport
  /** The code of what keeps the agent, which is up, from its work. */
  readonly blockedBy?: string
}

/** A task for the agent to start. */
export interface NewTask {
  readonly id: string
  readonly kind?: string
  readonly input?: Json
}

/** The reply to `POST sync`. */
export interface SyncReply {
  readonly controls: readonly Control[]
  readonly newTasks: readonly NewTask[]
  /** Somebody has the agent's page open: originals then sync every 3 s. */
  readonly watching: boolean
  readonly upgrade?: { readonly version: string }
  /** Outcomes and decisions that the hub has committed; the agent may forget them. */
  readonly acked: readonly string[]
  /** When the hub would like the next sync, ms; absent from a server that knows only the original wire. */
  readonly nextSyncMs?: number
  /** The hub wants another key in use: `register` brings it. */
  readonly rotateKey?: true
  /** The hub's wall clock when it answered, ms, by which the agent tells how late heartbeats come. */
  readonly hubMs?: number
}

/** A sync request from untrusted JSON; undefined only if `agentId` is missing. What it does not know or cannot read it leaves out. */
export function parseSyncRequest(value: Json): SyncRequest | undefined {
  if (!isJsonObject(value)) return undefined
  const agentId = stringField(value, 'agentId', limits.ID_CHARS_MAX)
  if (agentId === undefined) return undefined
  const bootNonce = stringField(value, 'bootNonce', limits.ID_CHARS_MAX)
  const connectCounter = integerField(value, 'connectCounter', 0, Number.MAX_SAFE_INTEGER)
  const journalPosition = integerField(value, 'journalPosition', 0, Number.MAX_SAFE_INTEGER)
  const journalOpenedAt = integerField(value, 'journalOpenedAt', 0, Number.MAX_SAFE_INTEGER)
  const heartbeat = parseHeartbeatEcho(field(value, 'heartbeat'))
  const path = parsePathReport(field(value, 'path'))
  const labels = parseLabels(field(value, 'labels'))
  const count = limits.REPORTS_PER_SYNC_MAX
  return {
    agentId,
    tasks: arrayField(value, 'tasks', limits.TASKS_PER_SYNC_MAX).flatMap(
      (item) => parseTaskReport(item) ?? [],
    ),
    freeSlots: integerField(value, 'freeSlots', 0, 1_000_000) ?? 0,
    ...optionalTexts(value, ['version', 'name', 'os', 'arch', 'journalId', 'blockedBy']),
    ...(journalPosition === undefined ? {} : { journalPosition }),
    ...(journalOpenedAt === undefined ? {} : { journalOpenedAt }),
    ...(bootNonce === undefined || connectCounter === undefined
      ? {}
      : { boot: { bootNonce, connectCounter } }),
    ...(labels === undefined ? {} : { labels }),
    outcomes: arrayField(value, 'outcomes', count).flatMap((item) => parseOutcome(item) ?? []),
    received: arrayField(value, 'received', count).flatMap((item) => (isControlId(item) ? [item] : [])),
    decisions: arrayField(value, 'decisions', count).flatMap((item) => parseDecision(item) ?? []),
    ...(heartbeat === undefined ? {} : { heartbeat }),
    ...(path === undefined ? {} : { path }),
  }
}

/** A sync reply from untrusted JSON; anything that is no object reads as an empty reply. */
export function parseSyncReply(value: Json): SyncReply {
  const object = isJsonObject(value) ? value : {}
  const upgrade = field(object, 'upgrade')
  const version = isJsonObject(upgrade) ? stringField(upgrade, 'version', limits.ID_CHARS_MAX) : undefined
  const nextSyncMs = integerField(object, 'nextSyncMs', 0, Number.MAX_SAFE_INTEGER)
  const hubMs = integerField(object, 'hubMs', 0, Number.MAX_SAFE_INTEGER)
  return {
    controls: parseControls(object),
    newTasks: arrayField(object, 'newTasks', limits.NEW_TASKS_PER_SYNC_MAX).flatMap(
      (item) => parseNewTask(item) ?? [],
    ),
    watching: field(object, 'watching') === true,
    ...(version === undefined ? {} : { upgrade: { version } }),
    acked: arrayField(object, 'acked', 2 * limits.REPORTS_PER_SYNC_MAX).flatMap((id) =>
      isControlId(id) ? [id] : [],
    ),
    ...(field(object, 'rotateKey') === true ? { rotateKey: true } : {}),
    ...(nextSyncMs === undefined
      ? {}
      : { nextSyncMs: Math.min(limits.NEXT_SYNC_MS_MAX, Math.max(limits.NEXT_SYNC_MS_MIN, nextSyncMs)) }),
    ...(hubMs === undefined ? {} : { hubMs }),
  }
}

/** The sync request as JSON for the wire: `boot` stands flat as `bootNonce` and `connectCounter`. */
export function syncRequestToJson(request: SyncRequest): JsonObject {
  const { boot, ...fields } = request
  return { ...(fields as unknown as JsonObject), ...boot }
}

/** The later of two revisions. */
export function laterRevision(a: Revision, b: Revision): Revision {
  return compareRevisions(a, b) >= 0 ? a : b
}

function parseOutcome(value: Json): OutcomeReport | undefined {
  if (!isJsonObject(value)) return undefined
  const controlId = field(value, 'controlId')
  const refused = parseRevision(value)
  if (!isControlId(controlId) || refused === undefined) return undefined
  const agoMs = integerField(value, 'agoMs', 0, Number.MAX_SAFE_INTEGER)
  const base = { controlId, ...refused, ...(agoMs === undefined ? {} : { agoMs }) }
  const state = field(value, 'state')
  if (state === 'applied') return { ...base, state }
  if (state === 'failed') {
    const message = field(value, 'message')
    return {
      ...base,
      state,
      code: stringField(value, 'code', 64) ?? 'failed',
      message: typeof message === 'string' ? message.slice(0, limits.MESSAGE_CHARS_MAX) : '',
    }
  }
  const highWater = parseRevision(field(value, 'highWater') ?? null)
  if (state !== 'stale' || highWater === undefined) return undefined
  return { ...base, state, highWater, local: field(value, 'local') === true }
}

function parseDecision(value: Json): DecisionReport | undefined {
  if (!isJsonObject(value)) return undefined
  const decisionId = field(value, 'decisionId')
  const taskId = stringField(value, 'taskId', limits.ID_CHARS_MAX)
  const action = field(value, 'action')
  const basedOn = parseRevision(field(value, 'basedOn') ?? null)
  const agoMs = integerField(value, 'agoMs', 0, Number.MAX_SAFE_INTEGER)
  if (!isControlId(decisionId) || taskId === undefined || basedOn === undefined) return undefined
  if (typeof action !== 'string' || !isStateVerb(action)) return undefined
  return { decisionId, taskId, action, basedOn, ...(agoMs === undefined ? {} : { agoMs }) }
}

function parseHeartbeatEcho(value: Json | undefined): HeartbeatEcho | undefined {
  if (value === undefined || !isJsonObject(value)) return undefined
  const counter = integerField(value, 'counter', 0, Number.MAX_SAFE_INTEGER)
  const hubMs = integerField(value, 'hubMs', 0, Number.MAX_SAFE_INTEGER)
  const agoMs = integerField(value, 'agoMs', 0, Number.MAX_SAFE_INTEGER)
  const lagMs = integerField(value, 'lagMs', 0, Number.MAX_SAFE_INTEGER)
  return counter === undefined || hubMs === undefined || agoMs === undefined
    ? undefined
    : { counter, hubMs, agoMs, ...(lagMs === undefined ? {} : { lagMs }) }
}

function parseRevision(value: Json): Revision | undefined {
  if (!isJsonObject(value)) return undefined
  const epoch = integerField(value, 'epoch', 0, limits.REVISION_MAX)
  const revision = integerField(value, 'revision', 0, limits.REVISION_MAX)
  return epoch === undefined || revision === undefined ? undefined : { epoch, revision }
}

function parseNewTask(value: Json): NewTask | undefined {
  if (!isJsonObject(value)) return undefined
  const id = stringField(value, 'id', limits.ID_CHARS_MAX)
  const input = field(value, 'input')
  if (id === undefined) return undefined
  return { id, ...optionalTexts(value, ['kind']), ...(input === undefined ? {} : { input }) }
}

function parseLabels(value: Json | undefined): Record<string, string> | undefined {
  if (value === undefined || !isJsonObject(value)) return undefined
  const entries = Object.entries(value).filter(
    (entry): entry is [string, string] =>
      entry[0].length <= limits.ID_CHARS_MAX &&
      // Whoever copies labels one by one would set the prototype.
      entry[0] !== '__proto__' &&
      typeof entry[1] === 'string' &&
      entry[1].length <= limits.ID_CHARS_MAX,
  )
  return Object.fromEntries(entries.slice(0, limits.LABELS_MAX))
}

function isControlId(value: Json | undefined): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 2 * limits.ID_CHARS_MAX
}
