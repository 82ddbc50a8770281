/** What the application adds to the replies to syncs, read without trust and fitted in beside what is the hub's. Pure. */
import {
  controlToJson,
  field,
  isAction,
  isJsonObject,
  isTaskId,
  limits,
  parseJson,
  reservedArgument,
  type Control,
  type Json,
  type JsonObject,
  type NewTask,
} from '@downlink/protocol'
import type { FittedAnswer } from '../controls/sync-reply.ts'

/** What was read of it. */
export interface OwnContent {
  readonly controls: readonly Control[]
  readonly newTasks: readonly NewTask[]
  readonly extra: JsonObject
}

/** The hub's own names in the reply to a sync; `upgrade` is the application's to send. */
const RESERVED_NAMES: ReadonlySet<string> = new Set([
  'controls',
  'newTasks',
  'watching',
  'acked',
  'nextSyncMs',
  'hubMs',
  'rotateKey',
  '__proto__',
])

/** Names by which the hub orders and settles its own controls; one that it did not issue must not carry them. */
const ISSUED_NAMES = ['controlId', 'epoch', 'revision', 'lane', 'ttlMs', 'delivery', 'sig', 'keyId'] as const

const BRACKETS_AND_NAMES_BYTES = 4_096

/** @param onFault - told of each part that is left out because of what it is. @throws Error if nothing of it can be sent. */
export function readOwnContent(value: unknown, onFault: (fault: string) => void): OwnContent {
  // Whatever it is in memory, this is what an agent would get of it.
  const text = JSON.stringify(value) as string | undefined
  if (text !== undefined && Buffer.byteLength(text) > limits.OWN_CONTENT_BYTES_MAX) {
    throw new Error(`It is larger than ${limits.OWN_CONTENT_BYTES_MAX} bytes as JSON. Send less at a time.`)
  }
  const json = text === undefined ? {} : parseJson(text, limits.JSON_DEPTH_MAX)
  if (!isJsonObject(json)) {
    throw new Error(`It is no object, or nested deeper than ${limits.JSON_DEPTH_MAX}.`)
  }
  const parts = <T>(name: string, read: (item: Json) => T | string): readonly T[] =>
    itemsOf(json, name, onFault).flatMap((item, index) => {
      const found = read(item)
      if (typeof found !== 'string') return [found]
      onFault(`${name}[${index}] ${found}`)
      return []
    })
  return {
    controls: parts('controls', readControl),
    newTasks: parts('newTasks', readTask),
    extra: readExtra(json, onFault),
  }
}

/** As much of it as fits behind the hub's own answer. `isCut`: something must wait for the next sync. */
export function fitOwnContent(
  { controls, newTasks, acked }: FittedAnswer,
  own: OwnContent,
): OwnContent & { readonly isCut: boolean } {
  const hubs = { controls: controls.map((control) => controlToJson(control)), newTasks, acked }
  const bytes = bytesOf(hubs) + bytesOf({ ...own, controls: own.controls.map(controlToJson) })
  if (bytes + BRACKETS_AND_NAMES_BYTES > limits.REPLY_BYTES_MAX) {
    return { controls: [], newTasks: [], extra: {}, isCut: true }
  }
  const ownControls = own.controls.slice(0, limits.CONTROLS_PER_MESSAGE_MAX - controls.length)
  const taken = new Set(newTasks.map((task) => task.id))
  const wanted = own.newTasks.filter((task) => !taken.has(task.id))
  const ownTasks = wanted.slice(0, limits.NEW_TASKS_PER_SYNC_MAX - newTasks.length)
  return {
    controls: ownControls,
    newTasks: ownTasks,
    extra: own.extra,
    isCut: ownControls.length < own.controls.length || ownTasks.length < wanted.length,
  }
}

function itemsOf(object: JsonObject, name: string, onFault: (fault: string) => void): readonly Json[] {
  const value = field(object, name) ?? []
  if (Array.isArray(value)) return value as readonly Json[]
  onFault(`${name} is no array`)
  return []
}

function readControl(item: Json): Control | string {
  if (!isJsonObject(item)) return 'is no object'
  const { action, taskId, args = null } = item
  if (!isAction(action)) return 'has no action that is a verb'
  if (!isTaskId(taskId)) return 'has no taskId'
  const issued = ISSUED_NAMES.find((name) => Object.hasOwn(item, name))
  if (issued !== undefined) return `has ${issued}, which only controls of the hub have`
  const reserved = reservedArgument(args)
  if (reserved !== undefined) return `has an argument of the reserved name ${reserved}`
  if (bytesOf(args) > limits.CONTROL_ARGS_BYTES_MAX) {
    return `has arguments of more than ${limits.CONTROL_ARGS_BYTES_MAX} bytes`
  }
  return { action, taskId, args }
}

function readTask(item: Json): NewTask | string {
  if (!isJsonObject(item)) return 'is no object'
  const { id, kind = '', input } = item
  if (!isTaskId(id)) return 'has no id'
  if (typeof kind !== 'string' || kind.length > limits.ID_CHARS_MAX) return 'has a kind that is no name'
  if (input !== undefined && bytesOf(input) > limits.TASK_INPUT_BYTES_MAX) {
    return `has an input of more than ${limits.TASK_INPUT_BYTES_MAX} bytes`
  }
  // The wire of originals has further members of their own.
  return { ...item, id }
}

function readExtra(object: JsonObject, onFault: (fault: string) => void): JsonObject {
  const extra = field(object, 'extra') ?? {}
  if (!isJsonObject(extra)) {
    onFault('extra is no object')
    return {}
  }
  const members = Object.entries(extra).filter(([name]) => {
    const isFree = !RESERVED_NAMES.has(name)
    if (!isFree) onFault(`extra.${name} is a name of the hub’s own`)
    return isFree
  })
  return Object.fromEntries(members)
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value))
}
