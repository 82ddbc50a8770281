/** The control message: a statement about a task that its agent decides exactly once. */
import { isAction } from './ids.ts'
import {
  arrayField,
  field,
  integerField,
  isJsonObject,
  stringField,
  type Json,
  type JsonObject,
} from './json.ts'
import {
  ACTION_CHARS_MAX,
  CONTROLS_PER_MESSAGE_MAX,
  CONTROL_TTL_MS_MAX,
  ID_CHARS_MAX,
  REVISION_MAX,
} from './limits.ts'

/** When a control was issued, relative to the others of its agent: a higher epoch wins, then a higher n. */
export interface Revision {
  readonly epoch: number
  readonly revision: number
}

/** Negative if `a` was issued before `b`, zero if they are the same, positive if after. */
export function compareRevisions(a: Revision, b: Revision): number {
  return a.epoch - b.epoch || a.revision - b.revision
}

/** How often a custom verb may be applied when a crash interrupts it. */
export type Delivery = 'atMostOnce' | 'atLeastOnce'

/** Whether a lane keeps all its open controls in order, or only the newest. */
export type LanePolicy = 'queue' | 'latest'

/**
 * A control as it reaches an agent.
 * A server that knows only the original wire sends `action` and `taskId`; everything else is then absent.
 */
export interface Control {
  readonly controlId?: string
  readonly epoch?: number
  readonly revision?: number
  /** `state` for cancel, pause and resume; `verb:NAME` for any other verb. */
  readonly lane?: string
  readonly action: string
  readonly taskId: string
  readonly args: Json
  /** What was left of its time to live when it was written, ms; informative, the hub counts it. */
  readonly ttlMs?: number
  readonly delivery?: Delivery
  /** Reserved for signed controls. */
  readonly sig?: string
  readonly keyId?: string
}

/** A control with everything that decides its fate. */
export interface IssuedControl extends Control {
  readonly controlId: string
  readonly epoch: number
  readonly revision: number
  readonly lane: string
}

/** Where a control stands. `superseded` and `expired` mean: no longer handed out. */
export type ControlState =
  | { readonly state: 'pending' | 'delivered' | 'expired' }
  | { readonly state: 'superseded'; readonly byControlId: string }
  | { readonly state: 'applied'; readonly confirmedBy: 'agent' | 'observation' }
  | { readonly state: 'failed'; readonly code: string; readonly message: string }

/** The verbs that every task has. They share the lane `state`. */
export const STATE_VERBS = ['cancel', 'pause', 'resume'] as const
/** One of {@link STATE_VERBS}. */
export type StateVerb = (typeof STATE_VERBS)[number]

/** Whether `action` is cancel, pause or resume. */
export function isStateVerb(action: string): action is StateVerb {
  return (STATE_VERBS as readonly string[]).includes(action)
}

/** The lane of a verb: `state`, or one of its own. */
export function laneOf(action: string): string {
  return isStateVerb(action) ? 'state' : `verb:${action}`
}

const CONTROL_FIELDS: ReadonlySet<string> = new Set([
  'action',
  'taskId',
  'args',
  'controlId',
  'epoch',
  'revision',
  'lane',
  'ttlMs',
  'delivery',
  'sig',
  'keyId',
  '__proto__',
])

/** The first member of `args` whose name would clash with a control's own field when spread flat, or undefined. */
export function reservedArgument(args: Json): string | undefined {
  return isJsonObject(args) ? Object.keys(args).find((name) => CONTROL_FIELDS.has(name)) : undefined
}

/** The control as JSON for the wire; object arguments also stand flat beside `action` and `taskId`, where originals look for them. */
export function controlToJson(control: Control): JsonObject {
  const { args, ...fields } = control
  const flat = isJsonObject(args) ? args : {}
  return { ...flat, ...fields, ...(args === null ? {} : { args }) }
}

/**
 * A control from untrusted JSON, or undefined if it has no usable `action` and `taskId`.
 * Unknown members are arguments when there are neither `args` nor an id, as original servers send them.
 */
export function parseControl(value: Json): Control | undefined {
  if (!isJsonObject(value)) return undefined
  const action = stringField(value, 'action', ACTION_CHARS_MAX)
  const taskId = stringField(value, 'taskId', ID_CHARS_MAX)
  if (action === undefined || taskId === undefined || !isAction(action)) return undefined
  const controlId = stringField(value, 'controlId', 2 * ID_CHARS_MAX)
  const epoch = integerField(value, 'epoch', 0, REVISION_MAX)
  const revision = integerField(value, 'revision', 0, REVISION_MAX)
  const ttlMs = integerField(value, 'ttlMs', 0, CONTROL_TTL_MS_MAX)
  const delivery = field(value, 'delivery')
  const sig = stringField(value, 'sig', 1_024)
  const keyId = stringField(value, 'keyId', ID_CHARS_MAX)
  return {
    action,
    taskId,
    args: field(value, 'args') ?? (controlId === undefined ? flatArguments(value) : null),
    ...(controlId === undefined ? {} : { controlId }),
    ...(epoch === undefined ? {} : { epoch }),
    ...(revision === undefined ? {} : { revision }),
    ...(controlId === undefined ? {} : { lane: laneOf(action) }),
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(delivery === 'atLeastOnce' || delivery === 'atMostOnce' ? { delivery } : {}),
    ...(sig === undefined ? {} : { sig }),
    ...(keyId === undefined ? {} : { keyId }),
  }
}

/** The controls of an array in untrusted JSON; what is not a control is left out. */
export function parseControls(object: JsonObject): readonly Control[] {
  return arrayField(object, 'controls', CONTROLS_PER_MESSAGE_MAX).flatMap((item) => parseControl(item) ?? [])
}

/** Whether a control carries id, epoch and revision, and so is decided once by its ledger. */
export function isIssued(control: Control): control is IssuedControl {
  return control.controlId !== undefined && control.epoch !== undefined && control.revision !== undefined
}

function flatArguments(value: JsonObject): Json {
  const members = Object.entries(value).filter(([name]) => !CONTROL_FIELDS.has(name))
  return members.length === 0 ? null : Object.fromEntries(members)
}
