/** GET /healthz and /readyz: whether the process lives, and whether it should be sent requests. */
import { HubError, hubErrorOf } from '../hub-error.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { operation } from './operation.ts'
import { healthReply } from './reply-schemas.ts'
import { noQuery } from './request-schemas.ts'

/** Adds the routes; they need no token. */
export function addHealthRoutes(routes: OperatorRoutes): void {
  const { app, store, isDraining } = routes
  const schema = { querystring: noQuery, response: { 200: healthReply } }
  app.get(
    '/healthz',
    operation(
      routes,
      { operationId: 'getHealth', tag: 'Hub', summary: 'Ask whether the process lives' },
      schema,
    ),
    async () => ({ status: 'ok' }),
  )
  app.get(
    '/readyz',
    operation(
      routes,
      {
        operationId: 'getReadiness',
        tag: 'Hub',
        summary: 'Ask whether it should be sent requests',
        errors: ['draining', 'store_unavailable', 'store_full', 'store_failed'],
      },
      schema,
    ),
    async () => {
      if (isDraining())
        throw new HubError('draining', 'This hub is stopping. Use another, or come back shortly.')
      const health = store.health()
      if (health.state === 'failing') throw hubErrorOf(health.error)
      return { status: 'ready' }
    },
  )
}
