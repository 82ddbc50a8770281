/** The operator API without a hub: its document, and what is wrong with its routes. */
import type { JsonObject } from '@downlink/protocol'
import { fastify } from 'fastify'
import { openapiDocument, type OperatorRoute } from './openapi/openapi-document.ts'
import { operationFaults } from './openapi/operation-faults.ts'
import { addRoutes } from './operator-app.ts'
import type { OperatorRoutes } from './operator-routes.ts'

/** What `etc/openapi.json` is made of, and checked by. */
export interface OperatorApiDescription {
  readonly document: JsonObject
  readonly faults: readonly string[]
}

/** Adds every route to an application that never serves. */
export function describeOperatorApi(): OperatorApiDescription {
  const routes: readonly OperatorRoute[] = addRoutes({
    app: fastify({ exposeHeadRoutes: false }),
    needs: () => async () => {},
    // A route takes what it needs of a hub when it is added, and uses it when it is asked.
  } as unknown as OperatorRoutes)
  return { document: openapiDocument(routes), faults: operationFaults(routes) }
}
