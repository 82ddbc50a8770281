/** GET /metrics: how the hub does, as Prometheus text. */
import { METRICS_TYPE, renderMetrics } from '../metrics/metric-registry.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { errorReplies, metricsReply } from './operator-schemas.ts'

/** Adds the route; it needs the scope `read`, unless the hub was told that its metrics are open. */
export function addMetricsRoute({ app, needs, metrics, areMetricsOpen }: OperatorRoutes): void {
  app.get(
    '/metrics',
    {
      ...(areMetricsOpen ? {} : { onRequest: needs('read') }),
      schema: { response: { 200: metricsReply, ...errorReplies } },
    },
    async (_request, reply) => reply.type(METRICS_TYPE).send(renderMetrics(metrics)),
  )
}
