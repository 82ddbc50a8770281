/** What is wrong with a route of the operator API as its document shows it: `npm run check` fails for any of it. Pure. */
import type { TSchema } from 'typebox'
import type { OperatorRoute } from './openapi-document.ts'

/** One sentence for each fault of `routes`; empty if there is none. */
export function operationFaults(routes: readonly OperatorRoute[]): readonly string[] {
  const ids = new Map<string, number>()
  for (const { operation } of routes) {
    const id = operation?.operationId ?? ''
    ids.set(id, (ids.get(id) ?? 0) + 1)
  }
  return routes.flatMap((route) => {
    const name = `${route.method} ${route.url}`
    if (route.operation === undefined) return [`${name} says nothing of itself; add it with operation().`]
    const twice = (ids.get(route.operation.operationId) ?? 0) > 1
    return [
      ...(twice ? [`${name} has the operationId ${route.operation.operationId}, as another route.`] : []),
      ...schemaFaults(route).map((fault) => `${name} ${fault}`),
    ]
  })
}

function schemaFaults({ method, url, schema = {}, operation }: OperatorRoute): readonly string[] {
  const { params, querystring, body, response } = schema
  const faults: string[] = []
  const named = Array.from(url.matchAll(/:(\w+)/g), ([, name = '']) => name)
  const described = Object.keys(membersOf(params))
  if (named.toSorted().join() !== described.toSorted().join()) {
    faults.push(
      `has the parameters ${named.join(', ')} in its path, and ${described.join(', ')} in its schema.`,
    )
  }
  if (querystring === undefined) faults.push('has no schema for its query; say noQuery if it takes none.')
  else if (Object.keys(membersOf(querystring)).length > 0 && !isClosed(querystring)) {
    faults.push('takes query parameters of any name; close its schema.')
  }
  const takesBody = method === 'POST' || method === 'PUT' || method === 'PATCH'
  if (takesBody && body === undefined && operation?.isBodiless !== true) {
    faults.push('has no schema for its body; say isBodiless if it takes none.')
  }
  const replies = Object.entries((response ?? {}) as Readonly<Record<string, TSchema>>)
  if (!replies.some(([status]) => status.startsWith('2'))) faults.push('has no schema for its reply.')
  for (const [status, reply] of replies) {
    if (Object.keys(reply).length === 0) faults.push(`has an empty schema for its reply ${status}.`)
  }
  return faults
}

function membersOf(schema: unknown): Readonly<Record<string, unknown>> {
  return (schema as { properties?: Readonly<Record<string, unknown>> } | undefined)?.properties ?? {}
}

function isClosed(schema: unknown): boolean {
  return (schema as { additionalProperties?: unknown }).additionalProperties === false
}
