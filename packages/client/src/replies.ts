/** Reads the hub's replies: what the rest of this package relies on is checked, what it does not know passes. */
import {
  arrayField,
  field,
  integerField,
  isJsonObject,
  limits,
  stringField,
  type AgentRecord,
  type AuditEntry,
  type BatchControlResult,
  type ControlRecord,
  type EnrollmentKeyRecord,
  type Json,
  type JsonObject,
  type NudgeReply,
  type OperatorTokenRecord,
  type Page,
  type TaskRecord,
} from '@downlink/protocol'

/** Lines `firstLine` up to, and not including, `nextLine` of a task's log, counted from the task's first. */
export interface TaskLog {
  readonly firstLine: number
  readonly nextLine: number
  readonly lines: readonly string[]
}

/** An enrollment key as it is shown once, when it is made. */
export interface EnrollmentKey {
  readonly id: string
  /** The secret that an agent exchanges for its credential. */
  readonly key: string
  readonly usesMax?: number
  /** ISO 8601, by the hub's wall clock. */
  readonly expiresAt?: string
}

/** An operator's token as it is shown once, when it is made. */
export interface CreatedOperatorToken extends OperatorTokenRecord {
  /** The text that is sent as `Authorization: Bearer …`. */
  readonly token: string
}

/** Longest cursor, key or id that is taken from a reply, in characters. */
const TOKEN_CHARS_MAX = 4_096

const CONTROL_STATES: ReadonlySet<string> = new Set([
  'pending',
  'delivered',
  'expired',
  'superseded',
  'applied',
  'failed',
])

/** A control, or undefined if `json` is none. */
export function readControl(json: Json): ControlRecord | undefined {
  if (!isJsonObject(json)) return undefined
  const outcome = field(json, 'outcome')
  const state = isJsonObject(outcome) ? field(outcome, 'state') : undefined
  const isControl =
    hasTexts(json, ['controlId', 'agentId', 'taskId', 'action']) &&
    typeof state === 'string' &&
    CONTROL_STATES.has(state) &&
    isJsonObject(field(json, 'stamps'))
  return isControl ? (json as unknown as ControlRecord) : undefined
}

/** An agent, or undefined if `json` is none. */
export function readAgent(json: Json): AgentRecord | undefined {
  if (!isJsonObject(json) || !hasTexts(json, ['agentId', 'status'])) return undefined
  const transitions = field(json, 'transitions') ?? []
  const isAgent =
    isJsonObject(field(json, 'labels')) &&
    Array.isArray(transitions) &&
    transitions.every((change) => isJsonObject(change) && hasTexts(change, ['at', 'status', 'reason']))
  return isAgent ? (json as unknown as AgentRecord) : undefined
}

/** What became of one control of a batch, or undefined if `json` does not say. */
export function readBatchResult(json: Json): BatchControlResult | undefined {
  if (!isJsonObject(json) || !hasTexts(json, ['agentId', 'taskId'])) return undefined
  return hasTexts(json, ['controlId']) || hasTexts(json, ['error', 'message'])
    ? (json as unknown as BatchControlResult)
    : undefined
}

/** How many agents were reached and where to go on, or undefined if `json` does not say. */
export function readNudgeReply(json: Json): Omit<NudgeReply, 'withinMs'> | undefined {
  if (!isJsonObject(json)) return undefined
  const nudged = integerField(json, 'nudged', 0, Number.MAX_SAFE_INTEGER)
  const nextCursor = stringField(json, 'nextCursor', TOKEN_CHARS_MAX)
  return nudged === undefined ? undefined : { nudged, ...(nextCursor === undefined ? {} : { nextCursor }) }
}

/** A fact of the audit trail, or undefined if `json` is none. */
export function readAuditEntry(json: Json): AuditEntry | undefined {
  return isJsonObject(json) && hasTexts(json, ['id', 'at', 'kind'])
    ? (json as unknown as AuditEntry)
    : undefined
}

/** A task, or undefined if `json` is none. */
export function readTask(json: Json): TaskRecord | undefined {
  return isJsonObject(json) && hasTexts(json, ['taskId', 'state'])
    ? (json as unknown as TaskRecord)
    : undefined
}

/** A task's log, or undefined if `json` is none. */
export function readLog(json: Json): TaskLog | undefined {
  if (!isJsonObject(json)) return undefined
  const lines = arrayField(json, 'lines', limits.TASK_LOG_LINES_MAX).filter(
    (line) => typeof line === 'string',
  )
  const firstLine = integerField(json, 'firstLine', 0, Number.MAX_SAFE_INTEGER)
  const nextLine = integerField(json, 'nextLine', 0, Number.MAX_SAFE_INTEGER)
  return firstLine === undefined || nextLine === undefined ? undefined : { firstLine, nextLine, lines }
}

/** An enrollment key, or undefined if `json` is none. */
export function readEnrollmentKey(json: Json): EnrollmentKey | undefined {
  return isJsonObject(json) && hasTexts(json, ['id', 'key']) ? (json as unknown as EnrollmentKey) : undefined
}

/** An enrollment key without its secret, or undefined if `json` is none. */
export function readEnrollmentKeyRecord(json: Json): EnrollmentKeyRecord | undefined {
  return isJsonObject(json) && hasTexts(json, ['id', 'state', 'createdAt', 'createdBy', 'expiresAt'])
    ? (json as unknown as EnrollmentKeyRecord)
    : undefined
}

/** An operator's token, or undefined if `json` is none. */
export function readOperatorToken(json: Json): OperatorTokenRecord | undefined {
  return isJsonObject(json) && hasTexts(json, ['id', 'name', 'state', 'createdAt', 'createdBy'])
    ? (json as unknown as OperatorTokenRecord)
    : undefined
}

/** An operator's token with its text, or undefined if `json` is none. */
export function readCreatedToken(json: Json): CreatedOperatorToken | undefined {
  return isJsonObject(json) && readOperatorToken(json) !== undefined && hasTexts(json, ['token'])
    ? (json as unknown as CreatedOperatorToken)
    : undefined
}

/** One page whose items `read` reads, or undefined if `json` is none or an item is not as it should be. */
export function readPage<T>(json: Json, read: (item: Json) => T | undefined): Page<T> | undefined {
  const list = isJsonObject(json) ? field(json, 'items') : undefined
  if (!isJsonObject(json) || !Array.isArray(list)) return undefined
  const items: T[] = []
  for (const item of list as readonly Json[]) {
    const record = read(item)
    if (record === undefined) return undefined
    items.push(record)
  }
  const nextCursor = stringField(json, 'nextCursor', TOKEN_CHARS_MAX)
  return { items, ...(nextCursor === undefined ? {} : { nextCursor }) }
}

function hasTexts(object: JsonObject, names: readonly string[]): boolean {
  return names.every((name) => stringField(object, name, TOKEN_CHARS_MAX) !== undefined)
}
