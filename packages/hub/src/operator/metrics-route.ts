/** GET /metrics: how the hub does, as Prometheus text. */
import { METRICS_TYPE, renderMetrics } from '../metrics/metric-registry.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { operation } from './operation.ts'
import { metricsReply } from './reply-schemas.ts'
import { noQuery } from './request-schemas.ts'

/** Adds the route; it needs the scope `read`, unless the hub was told that its metrics are open. */
export function addMetricsRoute(routes: OperatorRoutes): void {
  const { app, metrics, areMetricsOpen } = routes
  app.get(
    '/metrics',
    operation(
      routes,
      {
        operationId: 'getMetrics',
        tag: 'Hub',
        summary: 'Read metrics',
        description: 'As Prometheus text. The hub may be told that its metrics need no token.',
        ...(areMetricsOpen ? {} : { scope: 'read' }),
      },
      { querystring: noQuery, response: { 200: metricsReply } },
    ),
    async (_request, reply) => reply.type(METRICS_TYPE).send(renderMetrics(metrics)),
  )
}
