/** Makes the OpenAPI document of the operator API from its routes: from the schemas that validate, and what is said of each. Pure. */
import { isJsonObject, limits, type Json, type JsonObject } from '@downlink/protocol'
import type { FastifySchema } from 'fastify'
import { ERROR_MEANINGS, TAGS, type Operation, type OperatorErrorCode } from '../operation.ts'
import { componentsOf, type Components } from './openapi-components.ts'

/** The version of the API in the document: that of the package. */
export const API_VERSION = '0.1.0'

/** A route, as it was added. */
export interface OperatorRoute {
  readonly method: string
  /** As Fastify writes it: `/agents/:agentId`. */
  readonly url: string
  readonly schema: FastifySchema | undefined
  /** Absent for a route that says nothing of itself. */
  readonly operation: Operation | undefined
}

/** What every reply may carry, by name. */
const RETRY_AFTER: JsonObject = {
  description: 'Seconds after which another try may succeed.',
  required: true,
  schema: { type: 'integer', minimum: 1 },
}
const RETRIED = new Set(['429', '503'])

const DESCRIPTION = `What people and their programs ask of a Downlink hub.

Send a token as \`Authorization: Bearer …\`. Its scopes say what it may do: \`read\` looks, \`control\` sends controls, \`run\` starts tasks, \`admin\` does everything. Make one with \`downlink token create\`; \`downlink up\` and \`downlink hub\` write the first to \`.downlink/operator-token\`.

Every error is JSON with a stable \`error\`, a \`message\` for people, and sometimes \`details\`. Bodies are JSON of at most ${limits.OPERATOR_BODY_BYTES_MAX} bytes; members that are not known are refused. Replies may get more members, and the feed more events, so readers pass over those that they do not know. Times in members ending in \`Ms\` are milliseconds.

The API of the agents is not in here: its rules are in PROTOCOL.md.`

/** The document, for a hub below `basePath`. */
export function openapiDocument(routes: readonly OperatorRoute[], basePath = ''): JsonObject {
  const components = componentsOf()
  const refusals: Record<string, JsonObject> = {}
  const paths: Record<string, Record<string, Json>> = {}
  for (const { method, url, schema, operation } of routes) {
    if (operation === undefined) continue
    const path = url.replaceAll(/:(\w+)/g, '{$1}')
    const item = (paths[path] ??= {})
    item[method.toLowerCase()] = operationObject(operation, schema ?? {}, components, refusals)
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Downlink operator API',
      version: API_VERSION,
      summary: 'Cancel, pause and resume what runs on machines that you cannot reach.',
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: basePath === '' ? '/' : basePath, description: 'The hub that serves this document.' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: components.schemas(),
      responses: Object.fromEntries(Object.entries(refusals).toSorted(([a], [b]) => (a < b ? -1 : 1))),
      securitySchemes: {
        operatorToken: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'dlo.KEY.SECRET',
          description:
            "An operator's token. What it needs beside an operation is a scope; `admin` includes all.",
        },
      },
    },
  }
}

function operationObject(
  operation: Operation,
  schema: FastifySchema,
  components: Components,
  refusals: Record<string, JsonObject>,
): JsonObject {
  const { operationId, tag, summary, description, scope } = operation
  const body = schema.body === undefined ? undefined : components.place(schema.body as Json)
  return {
    operationId,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    security: scope === undefined ? [] : [{ operatorToken: [scope] }],
    parameters: [
      ...parameters('path', schema.params, components),
      ...parameters('query', schema.querystring, components),
      ...parameters('header', schema.headers, components),
    ],
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: Object.fromEntries(
      Object.entries((schema.response ?? {}) as JsonObject).map(([status, reply]) => {
        const codes = codesOf(reply)
        if (codes.length === 0) return [status, success(status, reply, operation, components)]
        const name = refusalName(codes)
        refusals[name] ??= refusal(status, reply, codes, components)
        return [status, { $ref: `#/components/responses/${name}` }]
      }),
    ),
  }
}

/** Named by its codes, as it is the same wherever they are. */
function refusalName(codes: readonly string[]): string {
  return codes
    .map((code) => code.replaceAll(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase()))
    .join('.')
}

function refusal(
  status: string,
  reply: Json,
  codes: readonly OperatorErrorCode[],
  components: Components,
): JsonObject {
  return {
    description: codes.map((code) => `- \`${code}\`: ${ERROR_MEANINGS[code]}`).join('\n'),
    ...(RETRIED.has(status) ? { headers: { 'Retry-After': RETRY_AFTER } } : {}),
    content: { 'application/json': { schema: components.place(reply) } },
  }
}

function success(status: string, reply: Json, { frame }: Operation, components: Components): JsonObject {
  const description = REPLIES[status] ?? ''
  if (!isJsonObject(reply) || reply.type === 'null') return { description }
  const { contentMediaType, ...schema } = reply
  const mediaType = typeof contentMediaType === 'string' ? contentMediaType : 'application/json'
  const content = {
    [mediaType]: {
      schema: components.place(schema),
      // OpenAPI 3.2 calls it itemSchema; 3.1 has no word for it.
      ...(frame === undefined ? {} : { 'x-itemSchema': components.place(frame as unknown as Json) }),
    },
  }
  return { description, content }
}

const REPLIES: Readonly<Record<string, string>> = {
  200: 'Here it is.',
  201: 'It was made.',
  204: 'Done.',
}

/** The codes of a refusal; none of a success. */
function codesOf(reply: Json): readonly OperatorErrorCode[] {
  const { allOf } = reply as {
    allOf?: readonly { properties?: { error?: { enum: readonly OperatorErrorCode[] } } }[]
  }
  return allOf?.at(-1)?.properties?.error?.enum ?? []
}

function parameters(
  place: 'path' | 'query' | 'header',
  schema: unknown,
  components: Components,
): JsonObject[] {
  if (schema === undefined) return []
  const { properties, required = [] } = schema as {
    properties: Readonly<Record<string, JsonObject>>
    required?: readonly string[]
  }
  return Object.entries(properties).map(([name, property]) => {
    const { description, examples, ...rest } = property
    const [example] = (examples ?? []) as readonly Json[]
    return {
      name: place === 'header' ? headerName(name) : name,
      in: place,
      ...(required.includes(name) ? { required: true } : {}),
      ...(description === undefined ? {} : { description }),
      schema: components.place(property.title === undefined ? rest : property),
      ...(example === undefined ? {} : { example }),
    }
  })
}

/** As it is usually written: `Idempotency-Key`, `Last-Event-ID`. */
function headerName(name: string): string {
  return name.replaceAll(/(?<=^|-)[a-z]/g, (letter) => letter.toUpperCase()).replace(/-Id$/, '-ID')
}
