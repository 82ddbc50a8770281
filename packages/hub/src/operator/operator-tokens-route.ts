/** /api/v1/operator-tokens: making, listing and revoking the tokens of operators. */
import { type OperatorTokenRecord, type OperatorTokenRequest, type Page } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import { askerOf } from './controls-route.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { pageLimit } from './operator-query.ts'
import { operation } from './operation.ts'
import { emptyReply, operatorTokenReply, operatorTokensReply } from './reply-schemas.ts'
import {
  idempotencyHeaders,
  noQuery,
  operatorTokenBody,
  operatorTokenParams,
  pageQuery,
} from './request-schemas.ts'
import { tokenState, type OperatorTokenDocument } from './operator-tokens.ts'

/** Adds the routes. */
export function addOperatorTokensRoutes(routes: OperatorRoutes): void {
  const { app, operatorOf, operatorTokens, feed, store } = routes
  app.post<{ Body: OperatorTokenRequest }>(
    '/api/v1/operator-tokens',
    operation(
      routes,
      {
        operationId: 'createOperatorToken',
        tag: 'Operator tokens',
        summary: 'Make a token for an operator',
        description:
          'Its text is in this reply and nowhere else. Sent again under the same Idempotency-Key the token gets another text, which voids the one that was lost.',
        scope: 'admin',
        errors: ['outcome_unknown'],
      },
      {
        querystring: noQuery,
        headers: idempotencyHeaders,
        body: operatorTokenBody,
        response: { 200: operatorTokenReply, 201: operatorTokenReply },
      },
    ),
    async (request, reply) => {
      const asker = askerOf(request, operatorOf(request))
      const { token, document, isReplay } = await operatorTokens.create(request.body, asker)
      return reply.code(isReplay ? 200 : 201).send({ ...recordOf(document, store.serviceMs()), token })
    },
  )
  app.get<{ Querystring: { limit?: string; cursor?: string } }>(
    '/api/v1/operator-tokens',
    operation(
      routes,
      {
        operationId: 'listOperatorTokens',
        tag: 'Operator tokens',
        summary: "List operators' tokens",
        scope: 'admin',
      },
      { querystring: pageQuery, response: { 200: operatorTokensReply } },
    ),
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
    operation(
      routes,
      {
        operationId: 'revokeOperatorToken',
        tag: 'Operator tokens',
        summary: "Revoke an operator's token",
        description: 'Nothing is let in with it any more, and what streams to its operator ends.',
        scope: 'admin',
        errors: ['outcome_unknown'],
      },
      { params: operatorTokenParams, querystring: noQuery, response: { 204: emptyReply } },
    ),
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
