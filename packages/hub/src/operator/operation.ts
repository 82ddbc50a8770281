/** One operation of the operator API: what the OpenAPI document says of a route beside its schemas. */
import { ERROR_CODES, type ErrorCode, type OperatorScope } from '@downlink/protocol'
import type { FastifySchema, onRequestAsyncHookHandler } from 'fastify'
import Type, { type TSchema } from 'typebox'
import type { OperatorRoutes } from './operator-routes.ts'

/** What this API may answer with: not what only agents are told. */
export type OperatorErrorCode = Exclude<
  ErrorCode,
  | 'key_retired'
  | 'invalid'
  | 'agent_key_mismatch'
  | 'expired'
  | 'used'
  | 'revoked'
  | 'agent_exists'
  | 'agent_hash_taken'
  | 'agent_mismatch'
  | 'task_finished'
  | 'agent_version_too_old'
  | 'not_supported_here'
  | 'too_many_streams'
>

/** The codes that this API answers with, each in a sentence. */
export const ERROR_MEANINGS: Readonly<Record<OperatorErrorCode, string>> = {
  bad_request: 'The request is not as this document says; `details` names the members.',
  bad_json: 'The body is no JSON in UTF-8, or nested too deep.',
  bad_idempotency_key: 'The Idempotency-Key is empty, too long, or has characters that it must not have.',
  args_reserved_name: "An argument has the name of one of the control's own fields.",
  args_too_large: 'The arguments are too large.',
  input_too_large: 'The input is too large.',
  unauthorized: 'No valid token was sent.',
  forbidden: 'The token lacks the scope.',
  not_found: 'There is nothing of this name, or at this path.',
  agent_not_found: 'There is no such agent.',
  task_not_found: 'There is no such task.',
  control_not_found: 'There is no such control.',
  method_not_allowed: 'The path does not take the method; `Allow` names those that it takes.',
  request_timeout: 'The request came too slowly.',
  task_exists: 'The agent has a task of this id already.',
  task_cancelling: 'The task is being cancelled; `details.controlId` names the cancel.',
  idempotency_conflict: 'The Idempotency-Key was used before, for another request.',
  mailbox_full: 'The agent has as many open controls, or unfinished tasks, as the hub holds for it.',
  lane_full: 'The task has as many open controls of this verb as the hub holds for it.',
  agent_revoked: 'The agent was revoked.',
  body_too_large: 'The body is too large, or comes in too many parts.',
  unsupported_media_type: 'The body is of another type than JSON, or compressed.',
  headers_too_large: 'The headers are too large, or too many.',
  too_many_requests: 'This token sends too often, or this address without a valid one; see Retry-After.',
  internal: 'The hub failed; its log says how.',
  authentication_unavailable: 'The application around the hub could not say who this is.',
  store_unavailable: 'The store cannot be reached, so nothing was changed.',
  store_full: "There is no space left on the store's disk, so nothing was changed.",
  store_failed: "The store's disk fails, so nothing was changed.",
  outcome_unknown:
    'Whether it was stored is unknown: send it again under the same Idempotency-Key, and it is stored once.',
  draining: 'The hub is stopping.',
  too_many_waiters: 'As many requests wait as the hub lets wait.',
}

/** What the operations are grouped by, in the order of the page. */
export const TAGS = {
  Agents: 'Who is connected, and how.',
  Tasks: 'What runs, and what it prints.',
  Controls: 'Cancel, pause, resume and verbs of your own, and what became of them.',
  'Enrollment keys': 'What lets a new agent in.',
  'Operator tokens': 'Who may ask, and for what.',
  'Feed and audit': 'What happens, and who did what.',
  Hub: 'The hub itself.',
} as const

/** What is said of a route. */
export interface Operation {
  readonly operationId: string
  readonly tag: keyof typeof TAGS
  /** A few words, without a full stop. */
  readonly summary: string
  readonly description?: string
  /** What the token must allow; absent where none is needed. */
  readonly scope?: OperatorScope
  /** The refusals of its own: those that every route shares are added. */
  readonly errors?: readonly OperatorErrorCode[]
  /** A POST that reads no body. */
  readonly isBodiless?: true
  /** Of an event stream: what one of its frames carries. */
  readonly frame?: TSchema
}

declare module 'fastify' {
  interface FastifyContextConfig {
    operation?: Operation
  }
}

/** What a route is added with. */
export interface OperationOptions {
  readonly onRequest?: onRequestAsyncHookHandler
  readonly schema: FastifySchema
  readonly config: { readonly operation: Operation }
}

/** The options of a route: lets in who has the scope, and adds a schema for every refusal. */
export function operation(
  { needs }: Pick<OperatorRoutes, 'needs'>,
  definition: Operation,
  schema: FastifySchema & { readonly response: Readonly<Record<number, TSchema>> },
): OperationOptions {
  const response = { ...schema.response, ...errorReplies(errorCodesOf(definition, schema)) }
  return {
    ...(definition.scope === undefined ? {} : { onRequest: needs(definition.scope) }),
    schema: { ...schema, response },
    config: { operation: definition },
  }
}

const ALWAYS: readonly OperatorErrorCode[] = [
  'bad_request',
  'request_timeout',
  'body_too_large',
  'headers_too_large',
  'internal',
]
const WITH_TOKEN: readonly OperatorErrorCode[] = [
  'unauthorized',
  'forbidden',
  'too_many_requests',
  'authentication_unavailable',
  'store_unavailable',
  'store_full',
  'store_failed',
]
const WITH_BODY: readonly OperatorErrorCode[] = ['bad_json', 'unsupported_media_type']

function errorCodesOf(
  { scope, errors = [], isBodiless }: Operation,
  { params, body, headers }: FastifySchema,
): readonly OperatorErrorCode[] {
  const codes = new Set<OperatorErrorCode>([
    ...ALWAYS,
    ...(scope === undefined ? [] : WITH_TOKEN),
    ...(body !== undefined || isBodiless === true ? WITH_BODY : []),
    // An id that is too long to be one.
    ...(params === undefined ? [] : (['not_found'] as const)),
    ...(headers !== undefined && 'idempotency-key' in (headers as { properties: object }).properties
      ? (['bad_idempotency_key', 'idempotency_conflict'] as const)
      : []),
    ...errors,
  ])
  return (Object.keys(ERROR_MEANINGS) as OperatorErrorCode[]).filter((code) => codes.has(code))
}

function errorReplies(codes: readonly OperatorErrorCode[]): Readonly<Record<number, TSchema>> {
  const byStatus = Map.groupBy(codes, (code) => ERROR_CODES[code].status)
  return Object.fromEntries(Array.from(byStatus, ([status, some]) => [status, errorReply(some)]))
}

/** An error with one of `codes`. */
function errorReply(codes: readonly OperatorErrorCode[]): TSchema {
  return Type.Intersect([error, Type.Object({ error: Type.Enum([...codes], { type: 'string' }) })])
}

const error = Type.Object(
  {
    error: Type.Enum(Object.keys(ERROR_MEANINGS), {
      type: 'string',
      title: 'ErrorCode',
      description: [
        'What is wrong, for programs.',
        ...Object.entries(ERROR_MEANINGS).map(
          ([code, meaning]) => `- \`${code}\` (${ERROR_CODES[code as OperatorErrorCode].status}): ${meaning}`,
        ),
      ].join('\n'),
    }),
    message: Type.String({ description: 'What happened, the limit and the remedy, for people.' }),
    details: Type.Optional(
      Type.Unknown({ description: 'More for programs; of `bad_request` the members that are wrong.' }),
    ),
  },
  {
    title: 'Error',
    description: 'Every error has this form.',
    examples: [
      {
        error: 'agent_not_found',
        message: 'There is no agent box-1. Enroll it, or check the id.',
      },
    ],
  },
)
