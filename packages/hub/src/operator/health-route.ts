/** GET /healthz and /readyz: whether the process lives, and whether it should be sent requests. */
import { HubError } from '../hub-error.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { errorReplies, healthReply } from './operator-schemas.ts'

/** Adds the routes; they need no token. */
export function addHealthRoutes({ app, store, isDraining }: OperatorRoutes): void {
  const schema = { response: { 200: healthReply, ...errorReplies } }
  app.get('/healthz', { schema }, async () => ({ status: 'ok' }))
  app.get('/readyz', { schema }, async () => {
    if (isDraining())
      throw new HubError('draining', 'This hub is stopping. Use another, or come back shortly.')
    // Any read tells whether the store answers.
    await store.list('operator-tokens', { limit: 1 })
    return { status: 'ready' }
  })
}
