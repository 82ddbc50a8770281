/** What the operator API takes, as JSON Schema: paths, queries, headers and bodies. */
import {
  limits,
  OPERATOR_SCOPES,
  type AgentControlRequest,
  type BroadcastRequest,
  type NudgeRequest,
  type ControlRequest,
  type ControlSelector,
  type OperatorTokenRequest,
  type TaskRequest,
} from '@downlink/protocol'
import Type, { type TSchema } from 'typebox'
import type { NewEnrollmentKey } from '../enrollment/enrollment-keys.ts'
import {
  agentId,
  anyJson,
  controlId,
  kind,
  labels,
  optional,
  presence,
  scopes,
  shape,
  strict,
  taskId,
  text,
  whole,
  words,
  type MembersOf,
} from './schema-parts.ts'

/** `:agentId` in a path; an unknown one is `agent_not_found`. */
export const agentParams: TSchema = Type.Object({ agentId })
/** `:agentId` and `:taskId` in a path. */
export const taskParams: TSchema = Type.Object({ agentId, taskId })
/** `:controlId` in a path. */
export const controlParams: TSchema = Type.Object({ controlId })
/** `:id` in a path. */
export const enrollmentKeyParams: TSchema = Type.Object({
  id: text("The key's id, as its listing shows it.", 'Jx3k9TqLm2'),
})

/** `:id` in a path. */
export const operatorTokenParams: TSchema = Type.Object({
  id: text("The token's id, as its listing shows it.", 'p4Vw8sNzRe'),
})

/** Of a route that takes no query. Names that it does not know are passed over, as they always were. */
export const noQuery: TSchema = Type.Object({})

/** The header under which a request may be sent again. */
export const idempotencyHeaders: TSchema = Type.Object({
  'idempotency-key': optional(
    text(
      `Makes it safe to send the request again: the same key and request give the same result, and 200 where the first gave 201. 1 to ${limits.IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters without space; another request under the same key is refused with \`idempotency_conflict\`.`,
      'pause-backup-7f3a-1',
    ),
  ),
})
/** Where the feed goes on. */
export const feedHeaders: TSchema = Type.Object({
  'last-event-id': optional(
    text(
      'The id of the last event that was seen; goes before `after`. Browsers send it by themselves.',
      '1042',
    ),
  ),
})

const limit = optional(text(`Items on a page, 1 to ${limits.PAGE_MAX}; 100 unless given.`, '100'))
const cursor = optional(text('`nextCursor` of the page before.', undefined, { maxLength: 512 }))
const label = optional(
  text(
    `Which labels: up to ${limits.SELECTOR_TERMS_MAX} terms joined by commas, all of which must hold: \`region=eu\`, \`region!=eu\` (also where there is none), \`region\` (there is one), \`!region\` (there is none).`,
    'region=eu,tier!=test',
    { maxLength: limits.SELECTOR_CHARS_MAX },
  ),
)
/** `limit` and `cursor` of every listing. */
export const pageQuery: TSchema = Type.Object({ limit, cursor }, strict)
/** Listing agents. */
export const agentsQuery: TSchema = Type.Object({ limit, cursor, status: optional(presence), label }, strict)
/** `wait` and `until`. */
export const waitQuery: TSchema = Type.Object(
  {
    wait: optional(
      text(
        `Holds the answer until the control is so far, can no longer be, or this time is up: \`10s\`, \`500ms\` or \`500\` (ms), at most ${limits.WAIT_MS_MAX / 1_000}s. The answer is the control as it then is; ask again to wait for longer.`,
        '10s',
      ),
    ),
    until: optional(
      words('What `wait` waits for; `applied` unless given.', {
        accepted: 'The hub has it for good.',
        applied: 'The agent says that it has applied it.',
        observed: "The task's own report shows it.",
      }),
    ),
  },
  strict,
)
/** What part of the audit trail is read. */
export const auditQuery: TSchema = Type.Object(
  {
    limit,
    cursor: optional(text('`nextCursor` of the page before.')),
    agentId: optional(text('Only what concerns this agent.', 'box-1')),
    controlId: optional(text('Only what concerns this control.')),
    since: optional(
      text(
        'Only from this moment on, ISO 8601: a time with its zone (`%2B` for `+`), or a day, which begins in UTC.',
        '2026-01-31T12:00:00Z',
      ),
    ),
  },
  strict,
)
/** Where the feed goes on, and of which agent. */
export const feedQuery: TSchema = Type.Object(
  {
    after: optional(
      text('The id of the last event that was seen. Without it, only what happens from now on.', '1042'),
    ),
    agentId: optional(text('Only what concerns this agent.', 'box-1')),
  },
  strict,
)
/** From which line on a log is read. */
export const logQuery: TSchema = Type.Object(
  {
    after: optional(
      text('The number of the first line that is wanted: `nextLine` of the reply before.', '120'),
    ),
  },
  strict,
)

const verb: MembersOf<Omit<ControlRequest, 'taskId'>> = {
  action: text(
    `\`cancel\`, \`pause\`, \`resume\`, or a verb of the application's own: 1 to ${limits.ACTION_CHARS_MAX} letters, digits or \`._-\`, beginning with a lower-case letter.`,
    'pause',
  ),
  args: optional(anyJson(`Arguments of the verb, at most ${limits.CONTROL_ARGS_BYTES_MAX} bytes as JSON.`)),
  ttlMs: optional(
    whole(
      `Time to live, ms, 1 to ${limits.CONTROL_TTL_MS_MAX}; unless given ${limits.CONTROL_TTL_MS_DEFAULT}, and none for \`cancel\`. Afterwards it is no longer handed out.`,
      60_000,
    ),
  ),
  lane: optional(
    words("How open controls of a verb of the application's own add up; `queue` unless given.", {
      queue: 'All of them, in order.',
      latest: 'Only the newest.',
    }),
  ),
  delivery: optional(
    words('How often the verb may be applied when a crash interrupts it; `atMostOnce` unless given.', {
      atMostOnce: 'It then fails as `interrupted`.',
      atLeastOnce: 'It is then applied again.',
    }),
  ),
}
/** The body of `POST …/controls`. */
export const controlBody: TSchema = shape<ControlRequest>(
  { ...verb, taskId },
  {
    title: 'ControlRequest',
    description: 'What a task is asked to do.',
    examples: [{ action: 'pause', taskId: 'backup-7f3a' }],
    ...strict,
  },
)
const selector = shape<ControlSelector>(
  {
    label,
    status: optional(presence),
    kind: optional(text('Where no `taskId` is named: only the tasks of this kind.', 'backup')),
  },
  {
    title: 'ControlSelector',
    description: 'Which agents, and which of their tasks; empty for all.',
    ...strict,
  },
)
/** The body of `POST /controls`: distinct controls, or one for all that a selector means. */
export const controlsBody: TSchema = Type.Union(
  [
    Type.Object(
      {
        items: Type.Array(
          shape<AgentControlRequest>(
            { ...verb, agentId, taskId },
            { title: 'AgentControlRequest', description: 'One control of a batch.', ...strict },
          ),
          { minItems: 1, maxItems: limits.BATCH_CONTROLS_MAX },
        ),
      },
      { title: 'BatchRequest', description: 'Distinct controls.', ...strict },
    ),
    shape<BroadcastRequest>(
      {
        ...verb,
        selector,
        taskId: optional(
          text('Only this task of each agent; without it, every unfinished task that is meant.'),
        ),
        cursor: optional(
          text('`nextCursor` of the reply before: goes on from there.', undefined, {
            maxLength: limits.ID_CHARS_MAX,
          }),
        ),
      },
      { title: 'BroadcastRequest', description: 'One control for every agent that is meant.', ...strict },
    ),
  ],
  {
    title: 'ControlsRequest',
    description: 'Distinct controls, or one for every agent that a selector means.',
    examples: [{ selector: { label: 'region=eu', kind: 'backup' }, action: 'pause' }],
  },
)
/** The body of `POST /sync`. */
export const nudgeBody: TSchema = shape<NudgeRequest>(
  {
    selector: shape<NudgeRequest['selector']>(
      { label, status: optional(presence) },
      { title: 'AgentSelector', description: 'Which agents; empty for all.', ...strict },
    ),
    withinMs: optional(
      whole(
        'The window over which they come, ms; unless given, what all agents of the hub need at half of what it accepts.',
        30_000,
        { minimum: 1, maximum: limits.RETRY_MS_MAX },
      ),
    ),
    cursor: optional(
      text('`nextCursor` of the reply before: goes on from there.', undefined, {
        maxLength: limits.ID_CHARS_MAX,
      }),
    ),
  },
  {
    title: 'NudgeRequest',
    description: 'Which agents shall sync, and over which time.',
    examples: [{ selector: { label: 'region=eu' }, withinMs: 30_000 }],
    ...strict,
  },
)
/** The body of `POST …/tasks`. */
export const taskBody: TSchema = shape<TaskRequest>(
  {
    kind,
    input: optional(
      anyJson(`What the task works on, at most ${limits.TASK_INPUT_BYTES_MAX} bytes as JSON.`, [
        { path: '/srv' },
      ]),
    ),
    taskId: optional(text('The id that it shall have; the hub makes one up unless given.', 'backup-7f3a')),
  },
  {
    title: 'TaskRequest',
    description: 'What an agent shall run.',
    examples: [{ kind: 'backup', input: { path: '/srv' } }],
    ...strict,
  },
)
/** The body of `POST /enrollment-keys`. */
export const enrollmentKeyBody: TSchema = shape<NewEnrollmentKey>(
  {
    uses: optional(
      whole('How many agents it may enroll; 1 unless given.', 10, {
        minimum: 1,
        maximum: limits.ENROLLMENT_USES_MAX,
      }),
    ),
    ttlMs: optional(
      whole(`How long it may be used, ms; ${limits.ENROLLMENT_TTL_MS_DEFAULT} unless given.`, 3_600_000, {
        minimum: 1,
        maximum: limits.ENROLLMENT_TTL_MS_MAX,
      }),
    ),
    labels: optional(labels),
    agentId: optional(text('The only agent that it may enroll; that agent may exist already.', 'box-1')),
  },
  {
    title: 'EnrollmentKeyRequest',
    description: 'What an enrollment key shall allow.',
    examples: [{ uses: 10, labels: { region: 'eu' } }],
    ...strict,
  },
)

/** The body of `POST /operator-tokens`. */
export const operatorTokenBody: TSchema = shape<OperatorTokenRequest>(
  {
    name: text('Whose it is: this name stands in stamps and in the audit trail.', 'ada', {
      minLength: 1,
      maxLength: limits.OPERATOR_NAME_CHARS_MAX,
    }),
    scopes: scopes({ minItems: 1, maxItems: OPERATOR_SCOPES.length }),
    ttlMs: optional(
      whole('How long it is good for, ms; for ever unless given.', 86_400_000, {
        minimum: 1,
        maximum: limits.OPERATOR_TOKEN_TTL_MS_MAX,
      }),
    ),
  },
  {
    title: 'OperatorTokenRequest',
    description: 'What a token shall allow.',
    examples: [{ name: 'ada', scopes: ['read', 'control'] }],
    ...strict,
  },
)
