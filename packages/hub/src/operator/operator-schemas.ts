/** The shapes of the operator API as JSON Schema: what is validated on the way in and written on the way out. */
import { limits, OPERATOR_SCOPES, STAMP_NAMES } from '@downlink/protocol'
import Type, { type TSchema } from 'typebox'

const strict = { additionalProperties: false }
const presence = Type.Enum(['online', 'late', 'offline', 'cloned', 'blocked', 'revoked'] as const)

/** Any JSON; bounded by the bytes and the depth of the body. */
export const anyJson: TSchema = Type.Unknown()

/** Labels: short texts under short names. */
export const labelsSchema: TSchema = Type.Record(
  Type.String({ pattern: `^.{1,${limits.ID_CHARS_MAX}}$` }),
  Type.String({ maxLength: limits.ID_CHARS_MAX }),
  // A name that does not fit the pattern would otherwise be taken as it is.
  { maxProperties: limits.LABELS_MAX, ...strict },
)

/** `:agentId` in a path; an unknown one is `agent_not_found`. */
export const agentParams: TSchema = Type.Object({ agentId: Type.String() })
/** `:agentId` and `:taskId` in a path. */
export const taskParams: TSchema = Type.Object({ agentId: Type.String(), taskId: Type.String() })
/** `:controlId` in a path. */
export const controlParams: TSchema = Type.Object({ controlId: Type.String() })
/** `:id` in a path. */
export const idParams: TSchema = Type.Object({ id: Type.String() })

/** `limit` and `cursor` of every listing. */
export const pageQuery: TSchema = Type.Object(
  { limit: Type.Optional(Type.String()), cursor: Type.Optional(Type.String({ maxLength: 512 })) },
  strict,
)
/** Listing agents. */
export const agentsQuery: TSchema = Type.Object(
  {
    limit: Type.Optional(Type.String()),
    cursor: Type.Optional(Type.String({ maxLength: 512 })),
    status: Type.Optional(presence),
    label: Type.Optional(Type.String({ maxLength: limits.SELECTOR_CHARS_MAX })),
  },
  strict,
)
/** `wait` and `until`. */
export const waitQuery: TSchema = Type.Object(
  {
    wait: Type.Optional(Type.String()),
    until: Type.Optional(Type.Enum(['accepted', 'applied', 'observed'] as const)),
  },
  strict,
)
/** What part of the audit trail is read. */
export const auditQuery: TSchema = Type.Object(
  {
    limit: Type.Optional(Type.String()),
    cursor: Type.Optional(Type.String()),
    agentId: Type.Optional(Type.String()),
    controlId: Type.Optional(Type.String()),
    since: Type.Optional(Type.String()),
  },
  strict,
)
/** One fact of the audit trail. */
export const auditReply: TSchema = Type.Object({
  id: Type.String(),
  at: Type.String(),
  kind: Type.String(),
  agentId: Type.Optional(Type.String()),
  controlId: Type.Optional(Type.String()),
  taskId: Type.Optional(Type.String()),
  data: anyJson,
})
/** Where the feed goes on, and of which agent. */
export const feedQuery: TSchema = Type.Object(
  { after: Type.Optional(Type.String()), agentId: Type.Optional(Type.String()) },
  strict,
)
/** The feed: an event stream. */
export const feedReply: TSchema = Type.String({ contentMediaType: 'text/event-stream' })
/** From which line on a log is read. */
export const logQuery: TSchema = Type.Object({ after: Type.Optional(Type.String()) }, strict)

const verb = {
  action: Type.String(),
  args: Type.Optional(anyJson),
  ttlMs: Type.Optional(Type.Integer()),
  lane: Type.Optional(Type.Enum(['queue', 'latest'] as const)),
  delivery: Type.Optional(Type.Enum(['atMostOnce', 'atLeastOnce'] as const)),
}
/** The body of `POST …/controls`. */
export const controlBody: TSchema = Type.Object({ ...verb, taskId: Type.String() }, strict)
/** The body of `POST /controls`: distinct controls, or one for all that a selector means. */
export const controlsBody: TSchema = Type.Union([
  Type.Object(
    {
      items: Type.Array(Type.Object({ ...verb, agentId: Type.String(), taskId: Type.String() }, strict), {
        minItems: 1,
        maxItems: limits.BATCH_CONTROLS_MAX,
      }),
    },
    strict,
  ),
  Type.Object(
    {
      ...verb,
      selector: Type.Object(
        {
          label: Type.Optional(Type.String({ maxLength: limits.SELECTOR_CHARS_MAX })),
          status: Type.Optional(presence),
          kind: Type.Optional(Type.String()),
        },
        strict,
      ),
      taskId: Type.Optional(Type.String()),
      cursor: Type.Optional(Type.String({ maxLength: limits.ID_CHARS_MAX })),
    },
    strict,
  ),
])
/** What became of each control of a batch. */
export const batchReply: TSchema = Type.Object({
  items: Type.Array(
    Type.Object({
      agentId: Type.String(),
      taskId: Type.String(),
      controlId: Type.Optional(Type.String()),
      error: Type.Optional(Type.String()),
      message: Type.Optional(Type.String()),
    }),
  ),
  nextCursor: Type.Optional(Type.String()),
})
/** The body of `POST …/tasks`. */
export const taskBody: TSchema = Type.Object(
  { kind: Type.String(), input: Type.Optional(anyJson), taskId: Type.Optional(Type.String()) },
  strict,
)
/** The body of `POST /enrollment-keys`. */
export const enrollmentKeyBody: TSchema = Type.Object(
  {
    uses: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.ENROLLMENT_USES_MAX })),
    ttlMs: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.ENROLLMENT_TTL_MS_MAX })),
    labels: Type.Optional(labelsSchema),
    agentId: Type.Optional(Type.String()),
  },
  strict,
)

const scopes = Type.Array(Type.Enum(OPERATOR_SCOPES), { minItems: 1, maxItems: OPERATOR_SCOPES.length })
/** The body of `POST /operator-tokens`. */
export const operatorTokenBody: TSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: limits.OPERATOR_NAME_CHARS_MAX }),
    scopes,
    ttlMs: Type.Optional(Type.Integer({ minimum: 1, maximum: limits.OPERATOR_TOKEN_TTL_MS_MAX })),
  },
  strict,
)
/** An operator's token as operators see it; `token` is in the reply to its creation only. */
export const operatorTokenReply: TSchema = Type.Object({
  id: Type.String(),
  token: Type.Optional(Type.String()),
  name: Type.String(),
  scopes,
  state: Type.String(),
  createdAt: Type.String(),
  createdBy: Type.String(),
  expiresAt: Type.Optional(Type.String()),
  lastUsedAt: Type.Optional(Type.String()),
})

const controlState = Type.Object({
  state: Type.String(),
  byControlId: Type.Optional(Type.String()),
  confirmedBy: Type.Optional(Type.String()),
  code: Type.Optional(Type.String()),
  message: Type.Optional(Type.String()),
})
const stamp = Type.Object({ at: Type.String(), by: Type.String() })

/** A control as operators see it. */
export const controlReply: TSchema = Type.Object({
  controlId: Type.String(),
  agentId: Type.String(),
  epoch: Type.Integer(),
  revision: Type.Integer(),
  lane: Type.String(),
  action: Type.String(),
  taskId: Type.String(),
  args: anyJson,
  ttlMs: Type.Optional(Type.Integer()),
  delivery: Type.Optional(Type.String()),
  outcome: controlState,
  stamps: Type.Object(Object.fromEntries(STAMP_NAMES.map((name) => [name, Type.Optional(stamp)]))),
  mayHaveApplied: Type.Optional(Type.Boolean()),
  unconfirmed: Type.Optional(Type.Boolean()),
  diverged: Type.Optional(Type.Boolean()),
  lateOutcome: Type.Optional(controlState),
})
/** A task as operators see it. */
export const taskReply: TSchema = Type.Object({
  agentId: Type.String(),
  taskId: Type.String(),
  kind: Type.Optional(Type.String()),
  state: Type.String(),
  diverged: Type.Optional(Type.Boolean()),
  progress: Type.Optional(Type.Number()),
  message: Type.Optional(Type.String()),
  errorMessage: Type.Optional(Type.String()),
  errorCode: Type.Optional(Type.String()),
  unresponsive: Type.Optional(Type.Boolean()),
  result: Type.Optional(anyJson),
  changedAt: Type.String(),
})
/** The last lines of a task's output. */
export const logReply: TSchema = Type.Object({
  taskId: Type.String(),
  firstLine: Type.Integer(),
  nextLine: Type.Integer(),
  lines: Type.Array(Type.String()),
})
/** An agent as operators see it. */
export const agentReply: TSchema = Type.Object({
  agentId: Type.String(),
  status: Type.String(),
  transport: Type.String(),
  labels: Type.Record(Type.String(), Type.String()),
  name: Type.Optional(Type.String()),
  version: Type.Optional(Type.String()),
  os: Type.Optional(Type.String()),
  arch: Type.Optional(Type.String()),
  acknowledges: Type.Optional(Type.Boolean()),
  lastSeenAt: Type.Optional(Type.String()),
  keyCreatedAt: Type.Optional(Type.String()),
  keyRotation: Type.Optional(Type.String()),
  roundTripMs: Type.Optional(Type.Integer()),
  path: Type.Optional(
    Type.Object({
      verdict: Type.String(),
      idleMs: Type.Optional(Type.Integer()),
      lagMs: Type.Optional(Type.Integer()),
      sentence: Type.String(),
      remedy: Type.Optional(Type.String()),
    }),
  ),
  openControls: Type.Integer(),
  taskCount: Type.Integer(),
  transitions: Type.Optional(
    Type.Array(Type.Object({ at: Type.String(), status: Type.String(), reason: Type.String() })),
  ),
})
/** An enrollment key as operators see it; `key` is in the reply to its creation only. */
export const enrollmentKeyReply: TSchema = Type.Object({
  id: Type.String(),
  key: Type.Optional(Type.String()),
  state: Type.String(),
  usesMax: Type.Integer(),
  usesCount: Type.Integer(),
  labels: Type.Record(Type.String(), Type.String()),
  agentId: Type.Optional(Type.String()),
  createdAt: Type.String(),
  createdBy: Type.String(),
  expiresAt: Type.String(),
})
/** What a nudge did: whether a stream carried it. */
export const nudgeReply: TSchema = Type.Object({ nudged: Type.Boolean() })
/** Metrics as Prometheus text. */
export const metricsReply: TSchema = Type.String()
/** The reply to a health check. */
export const healthReply: TSchema = Type.Object({ status: Type.String() })
/** The reply when there is nothing to say. */
export const emptyReply: TSchema = Type.Null()

/** A page of something. */
export function pageReply(item: TSchema): TSchema {
  return Type.Object({ items: Type.Array(item), nextCursor: Type.Optional(Type.String()) })
}
/** An error. */
export const errorReply: TSchema = Type.Object({
  error: Type.String(),
  message: Type.Optional(Type.String()),
  details: Type.Optional(anyJson),
})
/** The errors that every route may answer with. */
export const errorReplies: { readonly '4xx': TSchema; readonly '5xx': TSchema } = {
  '4xx': errorReply,
  '5xx': errorReply,
}
