/** What the operator API answers, as JSON Schema. The compiler sees to it that no member of a record is missing here. */
import {
  limits,
  type AuditEntry,
  type EnrollmentKeyRecord,
  type OperatorTokenRecord,
  type TaskRecord,
  type TaskState,
} from '@downlink/protocol'
import Type, { type TSchema } from 'typebox'
import type { ResetReason } from '../feed/feed-events.ts'
import { agentReply } from './agent-replies.ts'
import { controlReply } from './control-replies.ts'
import {
  agentId,
  anyJson,
  controlId,
  kind,
  labels,
  moment,
  onlyTrue,
  optional,
  page,
  scopes,
  shape,
  taskId,
  text,
  whole,
  words,
} from './schema-parts.ts'

/** A task as operators see it. */
export const taskReply: TSchema = shape<TaskRecord>(
  {
    agentId,
    taskId,
    kind: optional(kind),
    state: words<TaskState>(
      'Where the task stands.',
      {
        assigned: 'The hub has it; its agent does not list it yet.',
        queued: 'Its agent has it and has not begun.',
        running: 'It runs.',
        paused: 'It stands still.',
        cancelled: "Seen in its agent's report, never before.",
        completed: 'It came to its end.',
        failed: 'It ended otherwise; `errorCode` and `errorMessage` say why.',
        gone: 'An original agent no longer lists it.',
      },
      { title: 'TaskState' },
    ),
    diverged: onlyTrue('An observed cancel that a later report contradicted.'),
    progress: optional(
      Type.Number({
        description: '0 to 1; unknown until the next sync after a restart of the hub.',
        examples: [0.4],
      }),
    ),
    message: optional(text('What the task says of its progress.')),
    errorMessage: optional(text('Why it failed, for people.')),
    errorCode: optional(
      text(
        'Why it failed, for programs: `timed_out`, `interrupted`, `bad_input`, or what the application says.',
      ),
    ),
    unresponsive: onlyTrue('It was told to end and still runs after a grace.'),
    result: optional(anyJson('What it returned.')),
    changedAt: moment('When `state` last changed.'),
  },
  {
    title: 'Task',
    description: 'A task of an agent.',
    examples: [
      {
        agentId: 'box-1',
        taskId: 'backup-7f3a',
        kind: 'backup',
        state: 'running',
        progress: 0.4,
        changedAt: '2026-01-31T12:00:00.000Z',
      },
    ],
  },
)
/** The tasks of an agent. */
export const tasksReply: TSchema = page(
  'TaskPage',
  taskReply,
  'Tasks of the agent, unfinished ones first, then by id.',
)
/** The last lines of a task's output. */
export const logReply: TSchema = Type.Object(
  {
    taskId,
    firstLine: whole('The number of the first line shown; earlier ones are no longer kept.', 118),
    nextLine: whole('The number of the line that comes next: send it as `after`.', 120),
    lines: Type.Array(Type.String(), { description: `At most ${limits.TASK_LOG_LINES_MAX}.` }),
  },
  { title: 'TaskLog', description: "The last lines of a task's output." },
)

/** An enrollment key; its secret is in the reply to its creation only. */
export const enrollmentKeyReply: TSchema = shape<EnrollmentKeyRecord & { readonly key?: string }>(
  {
    id: text('Names the key.', 'Jx3k9TqLm2'),
    key: optional(text('The secret itself. In the reply to its creation only: the hub keeps a hash.')),
    state: words<EnrollmentKeyRecord['state']>('Whether it can enroll an agent.', {
      usable: 'It can.',
      used: 'It has enrolled as many as it may.',
      expired: 'Its time is over.',
      revoked: 'An operator revoked it.',
    }),
    usesMax: whole('How many agents it may enroll.', 10),
    usesCount: whole('How many it has enrolled.', 3),
    labels,
    agentId: optional(text('The only agent that it may enroll.')),
    createdAt: moment('When it was made.'),
    createdBy: text('Who made it.', 'ada'),
    expiresAt: moment('Until when it may be used.'),
  },
  { title: 'EnrollmentKey', description: 'What an agent exchanges for its first credential.' },
)
/** Enrollment keys. */
export const enrollmentKeysReply: TSchema = page('EnrollmentKeyPage', enrollmentKeyReply, 'Enrollment keys.')
/** An operator's token; its text is in the reply to its creation only. */
export const operatorTokenReply: TSchema = shape<OperatorTokenRecord & { readonly token?: string }>(
  {
    id: text('Names the token.', 'p4Vw8sNzRe'),
    token: optional(text('The token itself. In the reply to its creation only: the hub keeps a hash.')),
    name: text('Whose it is.', 'ada'),
    scopes: scopes(),
    state: words<OperatorTokenRecord['state']>('Whether it lets anybody in.', {
      usable: 'It does.',
      expired: 'Its time is over.',
      revoked: 'An operator revoked it.',
    }),
    createdAt: moment('When it was made.'),
    createdBy: text('Whose token made it, or `hub`.', 'hub'),
    expiresAt: optional(moment('Until when it may be used; absent for one that does not expire.')),
    lastUsedAt: optional(moment('When it was last used, to the hour.')),
  },
  { title: 'OperatorToken', description: "An operator's token." },
)
/** Operators' tokens. */
export const operatorTokensReply: TSchema = page(
  'OperatorTokenPage',
  operatorTokenReply,
  "Operators' tokens.",
)
/** The audit trail. */
export const auditReply: TSchema = page(
  'AuditPage',
  shape<AuditEntry>(
    {
      id: text('Grows; the place to go on from, in this listing and in the feed.', '1042'),
      at: moment('When.'),
      kind: text(
        'What: `control.created`, `.reissued`, `.observed`, `.settled`, `.late`, `.ended_otherwise`, `.diverged`; `task.created`, `.changed`, `.decided_locally`; `agent.enrolled`, `.rotation_asked`, `.key_issued`, `.key_rotated`, `.journal_lost`, `.revoked`; `enrollment_key.created`, `.revoked`; `operator_token.created`, `.revoked`; more may come.',
        'control.created',
      ),
      agentId: optional(agentId),
      controlId: optional(controlId),
      taskId: optional(taskId),
      data: anyJson('The whole control as it was then, or what else there is to say; `by` names who did it.'),
    },
    { title: 'AuditEntry', description: 'One fact of the audit trail.' },
  ),
  'Facts, oldest first.',
)
/** Metrics as Prometheus text. */
export const metricsReply: TSchema = Type.String({
  contentMediaType: 'text/plain',
  description: 'The metrics.',
})
/** The reply to a health check. */
export const healthReply: TSchema = Type.Object(
  {
    status: words<'ok' | 'ready'>('How it is.', {
      ok: 'The process lives.',
      ready: 'The hub answers requests.',
    }),
  },
  { title: 'Health', description: 'How the hub is.' },
)
/** The reply when there is nothing to say. */
export const emptyReply: TSchema = Type.Null({ description: 'Nothing.' })

const eventId = text('Where the feed goes on from here; also the id of the frame.', '1042')
/** One event of the feed. */
export const feedEvent: TSchema = Type.Union(
  [
    Type.Object(
      { id: optional(eventId), type: Type.Literal('agent'), agent: agentReply },
      {
        title: 'AgentEvent',
        description: 'Without `id` only the presence of the agent has changed, which is no place in history.',
      },
    ),
    Type.Object({ id: eventId, type: Type.Literal('task'), task: taskReply }, { title: 'TaskEvent' }),
    Type.Object(
      { id: eventId, type: Type.Literal('control'), control: controlReply },
      { title: 'ControlEvent' },
    ),
    Type.Object(
      { id: eventId, type: Type.Literal('begin') },
      {
        title: 'BeginEvent',
        description: 'Where the feed begins: what is listed from now on misses nothing.',
      },
    ),
    Type.Object(
      {
        id: eventId,
        type: Type.Literal('reset'),
        reason: words<ResetReason>('Why what was shown may be out of date.', {
          history_dropped: 'The place to go on from is no longer kept.',
          hub_restarted:
            'The hub has begun since that place, and cannot know whose presence changed before. History goes on from there.',
          many_changes: `The presence of more than ${limits.FEED_PRESENCE_MAX} agents has changed since. History goes on from there.`,
        }),
      },
      { title: 'ResetEvent', description: 'Read the listings again.' },
    ),
  ],
  {
    title: 'FeedEvent',
    description: 'The data of a frame; its `type` is the event of the frame.',
  },
)
/** The feed: an event stream. */
export const feedReply: TSchema = Type.String({
  contentMediaType: 'text/event-stream',
  description: 'Frames, as Server-Sent Events.',
})
/** A page to read. */
export const pageReply: TSchema = Type.String({ contentMediaType: 'text/html', description: 'The page.' })
/** The OpenAPI document. */
export const documentReply: TSchema = Type.Object(
  { openapi: Type.String() },
  { description: 'The document.', additionalProperties: true },
)
