/** What the operator API answers of agents, as JSON Schema. */
import {
  limits,
  type AgentRecord,
  type NudgeReply,
  type PathReport,
  type PathAdvice,
  type PathVerdict,
  type PresenceReason,
  type PresenceTransition,
} from '@downlink/protocol'
import Type, { type TSchema } from 'typebox'
import {
  about,
  agentId,
  labels,
  moment,
  optional,
  page,
  presence,
  shape,
  text,
  whole,
  words,
} from './schema-parts.ts'

const path = shape<PathReport & PathAdvice>(
  {
    verdict: words<PathVerdict>(
      'What the path does to the stream, in one word.',
      {
        unknown: 'Nothing is known yet.',
        ok: 'Streams come through on time.',
        dns: "The hub's name cannot be resolved.",
        refused: 'Connections are refused.',
        unreachable: 'Connections are neither taken nor refused.',
        tls: 'No TLS connection comes about.',
        'proxy-refused': 'The proxy refuses.',
        'cut-early': 'Streams end soon after they begin.',
        silent: 'A stream opens, and nothing comes.',
        'body-buffered': 'A proxy holds back what the hub writes.',
        'one-behind': 'Each event comes only with the next.',
        stalled: 'A stream that worked brings nothing any more.',
        'cut-idle': 'Idle connections are cut.',
        unstable: 'Streams break again and again.',
        'login-page': 'Something else answers, with a page.',
        'wrong-content-type': 'The reply is no event stream.',
        compressed: 'Something compresses the stream.',
        'not-http': 'What answers does not speak HTTP.',
        limit: 'What came was larger than the agent takes.',
        'hub-refused': 'The hub itself refuses the stream.',
      },
      { title: 'PathVerdict' },
    ),
    idleMs: optional(whole('Of `cut-idle`: after about how long without a frame connections are cut, ms.')),
    lagMs: optional(whole('Of `body-buffered` and `one-behind`: how late heartbeats come, ms.')),
    sentence: text('The same for people.'),
    remedy: optional(text('What somebody can do about it.')),
  },
  { title: 'AgentPath', description: 'What the agent sees of the path between.' },
)
const transition = shape<PresenceTransition>(
  {
    at: moment('When.'),
    status: about(presence, 'What the agent was from then on.'),
    reason: words<PresenceReason>(
      'Why.',
      {
        seen: 'It sent something.',
        silent: 'No proof of life came in time.',
        unproven: 'Its stream is open, but nothing shows that it brings anything.',
        'good-bye': 'It said goodbye.',
        'two-copies': 'Two copies of it show life.',
        blocked: 'It said that something keeps it from its work: see `blockedBy`.',
        revoked: 'An operator revoked it.',
      },
      { title: 'PresenceReason' },
    ),
  },
  { title: 'PresenceTransition', description: "A change of an agent's status." },
)
/** An agent as operators see it. */
export const agentReply: TSchema = shape<AgentRecord>(
  {
    agentId,
    status: presence,
    transport: words<AgentRecord['transport']>('How controls reach it now.', {
      stream: 'At once, on its open stream.',
      poll: 'With its next request.',
      none: 'Not at all.',
    }),
    labels,
    name: optional(text('What the agent calls itself.')),
    version: optional(text('The version that it says it has.')),
    os: optional(text('Its operating system.', 'linux')),
    arch: optional(text('Its processor.', 'x64')),
    acknowledges: optional(
      Type.Boolean({
        description:
          'Whether it confirms controls; false for an original agent, absent before its first sync.',
      }),
    ),
    lastSeenAt: optional(moment('When it last sent anything.')),
    keyCreatedAt: optional(moment('Since when its key exists.')),
    keyRotation: optional(
      Type.Literal('asked', {
        description: 'Another key was asked for, and the agent does not use one yet.',
      }),
    ),
    roundTripMs: optional(whole('The way down and up, measured by heartbeats, ms.', 42)),
    lagMs: optional(
      whole('How late heartbeats come to the agent, beyond the quickest way that it knows, ms.', 3),
    ),
    path: optional(path),
    blockedBy: optional(text('What it says keeps it from its work: a code.', 'journal_unavailable')),
    openControls: whole('Controls that are not settled.', 0),
    taskCount: whole('Tasks that the hub knows of.', 3),
    transitions: optional(
      Type.Array(transition, {
        description: `The last changes of \`status\`, oldest first, at most ${limits.PRESENCE_TRANSITIONS_MAX}; in the answer for a single agent only.`,
      }),
    ),
  },
  {
    title: 'Agent',
    description: 'An agent, and what the hub sees of it now.',
    examples: [
      {
        agentId: 'box-1',
        status: 'online',
        transport: 'stream',
        labels: { region: 'eu' },
        acknowledges: true,
        lastSeenAt: '2026-01-31T12:00:00.000Z',
        roundTripMs: 42,
        lagMs: 3,
        openControls: 0,
        taskCount: 3,
      },
    ],
  },
)
/** Agents. */
export const agentsReply: TSchema = page('AgentPage', agentReply, 'Agents in the order of their ids.')

/** What became of a nudge of many. */
export const nudgesReply: TSchema = shape<NudgeReply>(
  {
    nudged: whole('How many agents have a stream or a held poll; the others come at their own pace.', 120),
    withinMs: whole('The window, ms.', 30_000),
    nextCursor: optional(text('Where to go on: send it as `cursor`. Absent if there are no more agents.')),
  },
  { title: 'NudgeReply', description: 'How many agents come, and over which time.' },
)
/** What a nudge did. */
export const nudgeReply: TSchema = Type.Object(
  {
    nudged: Type.Boolean({
      description: 'Whether a stream or a held poll carried it; otherwise the agent comes at its own pace.',
    }),
  },
  { title: 'Nudge', description: 'Whether the agent was reached.' },
)
