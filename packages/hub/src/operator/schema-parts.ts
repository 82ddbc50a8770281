/** What the schemas of the operator API are made of. A schema that has a title is a component of the OpenAPI document. */
import { limits, type AgentPresence, type Json, type OperatorScope } from '@downlink/protocol'
import Type, { type TObject, type TOptional, type TSchema } from 'typebox'

/** The members of `T`, each with its schema: none is missing, none is too many, and those are optional that `T` says are. */
export type MembersOf<T> = {
  readonly [K in keyof T]-?: {} extends Pick<T, K> ? TOptional : TSchema & { readonly '~optional'?: never }
}

/** What is said of a schema: `examples` are shown, and make the bodies and addresses of the examples with curl. */
export interface Said {
  readonly description: string
  readonly examples?: readonly Json[]
  readonly [keyword: string]: unknown
}

/** Requests are closed: a misspelt member must be refused, not passed over. */
export const strict = { additionalProperties: false } as const

/** A text. */
export function text(description: string, example?: string, more: object = {}): TSchema {
  return Type.String({ description, ...(example === undefined ? {} : { examples: [example] }), ...more })
}

/** A whole number. */
export function whole(description: string, example?: number, more: object = {}): TSchema {
  return Type.Integer({ description, ...(example === undefined ? {} : { examples: [example] }), ...more })
}

/** A moment by the hub's wall clock. */
export function moment(description: string): TSchema {
  return text(`${description} ISO 8601, by the hub's wall clock.`, '2026-01-31T12:00:00.000Z', {
    format: 'date-time',
  })
}

/** A member that is `true` or absent. */
export function onlyTrue(description: string): TOptional {
  return optional(Type.Literal(true, { description }))
}

/** One of a closed set of words; the type makes sure that each is explained. */
export function words<W extends string>(
  description: string,
  meanings: Readonly<Record<W, string>>,
  more: object = {},
): TSchema {
  const entries = Object.entries<string>(meanings)
  const list = entries.map(([word, meaning]) => `- \`${word}\`: ${meaning}`)
  return Type.Enum(
    entries.map(([word]) => word),
    { type: 'string', description: [description, ...list].join('\n'), ...more },
  )
}

/** An object whose members are those of a type. */
export function shape<T>(members: MembersOf<T>, said: Partial<Said> & { readonly title?: string }): TObject {
  return Type.Object({ ...members } as Record<string, TSchema>, said)
}

/** The same schema, with something to say about it at this place. */
export function about(schema: TSchema, description: string): TSchema {
  return Type.Intersect([schema], { description })
}

/** The same schema, for a member that may be absent. */
export function optional(schema: TSchema): TOptional {
  return Type.Optional(schema) as TOptional
}

/** Any JSON; bounded by the bytes and the depth of the body. */
export function anyJson(description: string, examples: readonly Json[] = []): TSchema {
  return Type.Unknown({ description, ...(examples.length === 0 ? {} : { examples }) })
}

/** Labels: short texts under short names. */
export const labels: TSchema = Type.Record(
  Type.String({ pattern: `^.{1,${limits.ID_CHARS_MAX}}$` }),
  Type.String({ maxLength: limits.ID_CHARS_MAX }),
  {
    title: 'Labels',
    description: `Names with their values, each up to ${limits.ID_CHARS_MAX} characters; agents are found by them.`,
    examples: [{ region: 'eu', tier: 'prod' }],
    maxProperties: limits.LABELS_MAX,
    // A name that does not fit the pattern would otherwise be taken as it is.
    ...strict,
  },
)

/** A page of a listing; `title` names it. */
export function page(title: string, item: TSchema, description: string): TSchema {
  return Type.Object(
    {
      items: Type.Array(item),
      nextCursor: optional(text('Where the next page begins: send it as `cursor`. Absent on the last page.')),
    },
    { title, description },
  )
}

/** The id of an agent. */
export const agentId: TSchema = text(
  `The agent's id: 1 to ${limits.ID_CHARS_MAX} letters, digits or \`._:@-\`.`,
  'box-1',
)
/** The id of a task. */
export const taskId: TSchema = text(
  `The task's id: 1 to ${limits.ID_CHARS_MAX} printable ASCII characters without space.`,
  'backup-7f3a',
)
/** The id of a control. */
export const controlId: TSchema = text(
  "The control's id: that of its agent, `~`, and a unique part.",
  'box-1~019ace3f7d2a',
)
/** The kind of a task. */
export const kind: TSchema = text(
  "What to run, by the name that the agent's own configuration gives it.",
  'backup',
)
/** Where an agent stands. */
export const presence: TSchema = words<AgentPresence>(
  'Whether the agent can be reached.',
  {
    online:
      'It proved that it lives within the expected time, and nothing keeps it from its work: what is `blocked` is not among those that are online.',
    late: 'No proof of life within the expected time, or none that its stream brings anything.',
    offline: 'No proof of life for twice that time, or it said goodbye.',
    cloned: 'Two live copies use this identity.',
    blocked: 'It is up, but something keeps it from its work: see `blockedBy`.',
    revoked: 'An operator ended it for good.',
  },
  { title: 'AgentPresence' },
)

/** What a token allows. */
export function scopes(bounds: { readonly minItems?: number; readonly maxItems?: number } = {}): TSchema {
  return Type.Array(
    words<OperatorScope>(
      'What a token allows.',
      {
        read: 'Looking.',
        control: 'Sending controls.',
        run: 'Starting tasks.',
        admin: 'Everything.',
      },
      { title: 'OperatorScope' },
    ),
    bounds,
  )
}
