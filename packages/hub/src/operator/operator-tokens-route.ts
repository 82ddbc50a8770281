/** /api/v1/operator-tokens: making, listing and revoking the tokens of operators. */
import { type OperatorTokenRecord, type OperatorTokenRequest, type Page } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import { askerOf } from './controls-route.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { pageLimit } from './operator-query.ts'
import {
  emptyReply,
  errorReplies,
  idParams,
  operatorTokenBody,
  operatorTokenReply,
  pageQuery,
  pageReply,
} from './operator-schemas.ts'
import { tokenState, type OperatorTokenDocument } from './operator-tokens.ts'

/** Adds the routes. */
export function addOperatorTokensRoutes(routes: OperatorRoutes): void {
  const { app, needs, operatorOf, operatorTokens, feed, store } = routes
  app.post<{ Body: OperatorTokenRequest }>(
    '/api/v1/operator-tokens',
    {
      onRequest: needs('admin'),
      schema: {
        body: operatorTokenBody,
        response: { 200: operatorTokenReply, 201: operatorTokenReply, ...errorReplies },
      },
    },
    async (request, reply) => {
      const asker = askerOf(request, operatorOf(request))
      const { token, document, isReplay } = await operatorTokens.create(request.body, asker)
      return reply.code(isReplay ? 200 : 201).send({ ...recordOf(document, store.serviceMs()), token })
    },
  )
  app.get<{ Querystring: { limit?: string; cursor?: string } }>(
    '/api/v1/operator-tokens',
    {
      onRequest: needs('admin'),
      schema: { querystring: pageQuery, response: { 200: pageReply(operatorTokenReply), ...errorReplies } },
    },
    async (request): Promise<Page<OperatorTokenRecord>> => {
      const { cursor } = request.query
      const limit = pageLimit(request.query.limit)
      const found = await operatorTokens.list({
        limit: limit + 1,
        ...(cursor === undefined ? {} : { after: cursor }),
      })
      const items = found.slice(0, limit).map((document) => recordOf(document, store.serviceMs()))
      const last = items.at(-1)
      return { items, ...(found.length > limit && last !== undefined ? { nextCursor: last.id } : {}) }
    },
  )
  app.delete<{ Params: { id: string } }>(
    '/api/v1/operator-tokens/:id',
    {
      onRequest: needs('admin'),
      schema: { params: idParams, response: { 204: emptyReply, ...errorReplies } },
    },
    async (request, reply) => {
      const { id } = request.params
      if (!(await operatorTokens.revoke(id, operatorOf(request).name))) {
        throw new HubError(
          'not_found',
          `There is no operator token ${id}, so nothing was revoked. Check the id.`,
        )
      }
      feed.endOf(id)
      return reply.code(204).send()
    },
  )
}

function recordOf(document: OperatorTokenDocument, serviceMs: number): OperatorTokenRecord {
  const { tokenId, name, scopes, createdMs, createdBy = 'hub', expiresMs, lastUsedMs } = document
  return {
    id: tokenId,
    name,
    scopes,
    state: tokenState(document, serviceMs),
    createdAt: new Date(createdMs).toISOString(),
    createdBy,
    ...(expiresMs === undefined ? {} : { expiresAt: new Date(expiresMs).toISOString() }),
    ...(lastUsedMs === undefined ? {} : { lastUsedAt: new Date(lastUsedMs).toISOString() }),
  }
}
