/** An example with curl for an operation of the OpenAPI document. Pure. */
import { isJsonObject, type Json, type JsonObject } from '@downlink/protocol'
import { textOf } from './page-text.ts'

/** The command, over several lines; `$HUB` and `$TOKEN` are the reader's. */
export function curlExample(
  method: string,
  path: string,
  operation: JsonObject,
  schemas: Readonly<Record<string, JsonObject>>,
): string {
  const parameters = (operation.parameters ?? []) as readonly JsonObject[]
  const examples = new Map(parameters.map(({ name, example }) => [textOf(name), textOf(example ?? '…')]))
  const url = path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(examples.get(name) ?? '…'),
  )
  const body = bodyExample(operation, schemas)
  const isStream = JSON.stringify(operation.responses).includes('text/event-stream')
  const needsToken = (operation.security as readonly Json[]).length > 0
  const key = parameters.find(({ name }) => name === 'Idempotency-Key')
  const lines = [
    `curl -s${isStream ? 'N' : ''}${method === 'get' || (method === 'post' && body !== undefined) ? '' : ` -X ${method.toUpperCase()}`}`,
    ...(needsToken ? ['-H "Authorization: Bearer $TOKEN"'] : []),
    ...(body === undefined ? [] : ["-H 'Content-Type: application/json'"]),
    ...(key === undefined ? [] : [`-H 'Idempotency-Key: ${textOf(key.example)}'`]),
    ...(body === undefined ? [] : [`-d '${JSON.stringify(body)}'`]),
    `"$HUB${url}"`,
  ]
  return lines.join(' \\\n  ')
}

function bodyExample(
  { requestBody }: JsonObject,
  schemas: Readonly<Record<string, JsonObject>>,
): Json | undefined {
  if (!isJsonObject(requestBody ?? null)) return undefined
  const { content } = requestBody as { content: { 'application/json': { schema: JsonObject } } }
  const { $ref } = content['application/json'].schema
  const schema = schemas[textOf($ref).replace('#/components/schemas/', '')]
  return ((schema?.examples ?? []) as readonly Json[])[0]
}
