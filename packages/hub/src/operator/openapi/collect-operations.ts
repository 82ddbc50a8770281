/** Collects the routes of the operator API as they are added to its application. */
import type { FastifyInstance, RouteOptions } from 'fastify'
import type { OperatorRoute } from './openapi-document.ts'

/** What `add` adds to `app`, in its order; nothing that comes later. */
export function collectOperations(app: FastifyInstance, add: () => void): readonly OperatorRoute[] {
  const collected: OperatorRoute[] = []
  let isAdding = true
  app.addHook('onRoute', ({ method, url, schema, config }: RouteOptions) => {
    if (!isAdding) return
    for (const each of [method].flat()) {
      collected.push({ method: each, url, schema, operation: config?.operation })
    }
  })
  add()
  isAdding = false
  return collected
}
