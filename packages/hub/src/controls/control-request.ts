/** Checks what an operator asks for, and mints the ids of what comes of it. */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import {
  canonicalJson,
  controlIdOf,
  isAction,
  isTaskId,
  limits,
  reservedArgument,
  type ControlRequest,
  type ErrorCode,
  type Json,
  type TaskRequest,
} from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import type { CreateResult, CreateTaskResult } from './lifecycle.ts'

/** Who asks, and the key under which asking again means the same. */
export interface Asker {
  readonly operator: string
  readonly idempotencyKey?: string
}

const IDEMPOTENCY_KEY = new RegExp(`^[\\x21-\\x7e]{1,${limits.IDEMPOTENCY_KEY_CHARS_MAX}}$`)
const KIND_CHARS_MAX = 64

/** @throws HubError `bad_request`, `args_reserved_name`, `args_too_large`. */
export function checkControlRequest(request: ControlRequest): void {
  const { action, taskId, args, ttlMs } = request
  if (!isAction(action)) {
    throw new HubError(
      'bad_request',
      `The action must be 1 to ${limits.ACTION_CHARS_MAX} letters, digits, dots, dashes or underscores, beginning with a lower-case letter.`,
    )
  }
  checkTaskId(taskId)
  if (ttlMs !== undefined && !(Number.isInteger(ttlMs) && ttlMs >= 1 && ttlMs <= limits.CONTROL_TTL_MS_MAX)) {
    throw new HubError('bad_request', `ttlMs must be an integer from 1 to ${limits.CONTROL_TTL_MS_MAX}.`)
  }
  if (args === undefined) return
  const reserved = reservedArgument(args)
  if (reserved !== undefined) {
    throw new HubError(
      'args_reserved_name',
      `An argument must not be called "${reserved}": arguments also travel flat beside the control's own fields. Rename it.`,
    )
  }
  const bytes = Buffer.byteLength(JSON.stringify(args))
  if (bytes > limits.CONTROL_ARGS_BYTES_MAX) {
    throw new HubError(
      'args_too_large',
      `The arguments have ${bytes} bytes as JSON; ${limits.CONTROL_ARGS_BYTES_MAX} fit. Send a reference instead.`,
    )
  }
}

/** @throws HubError `bad_request`, `input_too_large`. */
export function checkTaskRequest(request: TaskRequest): void {
  const { kind, taskId, input } = request
  if (!isTaskId(kind) || kind.length > KIND_CHARS_MAX) {
    throw new HubError(
      'bad_request',
      `The kind must be 1 to ${KIND_CHARS_MAX} printable ASCII characters without space.`,
    )
  }
  if (taskId !== undefined) checkTaskId(taskId)
  const bytes = input === undefined ? 0 : Buffer.byteLength(JSON.stringify(input))
  if (bytes > limits.TASK_INPUT_BYTES_MAX) {
    throw new HubError(
      'input_too_large',
      `The input has ${bytes} bytes as JSON; ${limits.TASK_INPUT_BYTES_MAX} fit. Send a reference instead.`,
    )
  }
}

/** The key with the hash of what was asked under it. @throws HubError `bad_idempotency_key`. */
export function idempotencyOf(
  what: 'control' | 'task' | 'enrollment-key' | 'operator-token',
  request: object,
  key: string | undefined,
): { readonly idempotency?: { readonly key: string; readonly bodyHash: string } } {
  if (key === undefined) return {}
  if (!IDEMPOTENCY_KEY.test(key)) {
    throw new HubError(
      'bad_idempotency_key',
      `The Idempotency-Key must be 1 to ${limits.IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters without space.`,
    )
  }
  const body = canonicalJson({ what, request: request as unknown as Json })
  return { idempotency: { key, bodyHash: createHash('sha256').update(body).digest('hex') } }
}

/** A fresh control id, in the order of time, so that people and logs can sort by it. */
export function mintControlId(agentId: string, wallMs: number): string {
  const time = Math.max(0, Math.floor(wallMs)).toString(16).padStart(12, '0')
  // Node draws random bytes for many of these at once; the digits between are not all random.
  const random = randomUUID()
  return controlIdOf(agentId, time + random.slice(0, 8) + random.slice(-8))
}

/** A fresh task id that a person can type. */
export function mintTaskId(kind: string): string {
  return `${kind}-${randomBytes(4).toString('hex')}`
}

/** The refusal of a control as an error. */
export function controlRefusal(
  request: ControlRequest,
  refused: Extract<CreateResult, { kind: 'refused' }>,
): HubError {
  const { taskId, action } = request
  const messages: Record<typeof refused.code, string> = {
    task_cancelling: `Task ${taskId} is being cancelled, so ${action} was refused. Wait for the cancel to settle.`,
    mailbox_full: `The agent already has ${limits.OPEN_CONTROLS_MAX} controls that it has not settled. Wait for it to take some.`,
    lane_full: `Task ${taskId} already has ${limits.LANE_QUEUE_MAX} controls "${action}" that are not settled. Wait, or use the lane "latest".`,
    idempotency_conflict: CONFLICT,
  }
  const details = refused.controlId === undefined ? {} : { details: { controlId: refused.controlId } }
  return new HubError(refused.code satisfies ErrorCode, messages[refused.code], details)
}

/** The refusal of a task as an error. */
export function taskRefusal(
  taskId: string,
  refused: Extract<CreateTaskResult, { kind: 'refused' }>,
): HubError {
  const messages: Record<typeof refused.code, string> = {
    task_exists: `The agent already has a task ${taskId}. Choose another taskId, or leave it out.`,
    mailbox_full: `The agent already has as many unfinished tasks, or as many bytes of input, as the hub holds for it (${limits.MAILBOX_TASKS_MAX} tasks, ${limits.MAILBOX_INPUT_BYTES_MAX} bytes). Wait for some to end.`,
    idempotency_conflict: CONFLICT,
  }
  return new HubError(refused.code, messages[refused.code])
}

const CONFLICT =
  'This Idempotency-Key was used before for another request to this agent. Use a new key for a new request.'

function checkTaskId(taskId: string): void {
  if (isTaskId(taskId)) return
  throw new HubError(
    'bad_request',
    `The taskId must be 1 to ${limits.ID_CHARS_MAX} printable ASCII characters without space.`,
  )
}
