/** /api/v1/enrollment-keys: making, listing and revoking the keys that enroll agents. */
import { isAgentId, type EnrollmentKeyRecord } from '@downlink/protocol'
import type { EnrollmentKeyDocument, NewEnrollmentKey } from '../enrollment/enrollment-keys.ts'
import { HubError } from '../hub-error.ts'
import { askerOf } from './controls-route.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { pageLimit } from './operator-query.ts'
import { operation } from './operation.ts'
import { emptyReply, enrollmentKeyReply, enrollmentKeysReply } from './reply-schemas.ts'
import {
  enrollmentKeyBody,
  enrollmentKeyParams,
  idempotencyHeaders,
  noQuery,
  pageQuery,
} from './request-schemas.ts'

/** Adds the routes. */
export function addEnrollmentKeysRoutes(routes: OperatorRoutes): void {
  const { app, operatorOf, enrollmentKeys, store } = routes
  app.post<{ Body: NewEnrollmentKey }>(
    '/api/v1/enrollment-keys',
    operation(
      routes,
      {
        operationId: 'createEnrollmentKey',
        tag: 'Enrollment keys',
        summary: 'Make an enrollment key',
        description:
          'Its secret is in this reply and nowhere else. Sent again under the same Idempotency-Key the key gets another secret, which voids the one that was lost.',
        scope: 'admin',
        errors: ['outcome_unknown'],
      },
      {
        querystring: noQuery,
        headers: idempotencyHeaders,
        body: enrollmentKeyBody,
        response: { 200: enrollmentKeyReply, 201: enrollmentKeyReply },
      },
    ),
    async (request, reply) => {
      const operator = operatorOf(request)
      const { agentId } = request.body
      if (agentId !== undefined && !isAgentId(agentId)) {
        throw new HubError('bad_request', 'The agentId must be 1 to 128 letters, digits or ._:@-.')
      }
      const asker = askerOf(request, operator)
      const { key, document, isReplay } = await enrollmentKeys.create(request.body, asker)
      return reply.code(isReplay ? 200 : 201).send({ ...recordOf(document, store.serviceMs()), key })
    },
  )
  app.get<{ Querystring: { limit?: string; cursor?: string } }>(
    '/api/v1/enrollment-keys',
    operation(
      routes,
      {
        operationId: 'listEnrollmentKeys',
        tag: 'Enrollment keys',
        summary: 'List enrollment keys',
        scope: 'admin',
      },
      { querystring: pageQuery, response: { 200: enrollmentKeysReply } },
    ),
    async (request) => {
      const { cursor } = request.query
      const limit = pageLimit(request.query.limit)
      const found = await enrollmentKeys.list({
        limit: limit + 1,
        ...(cursor === undefined ? {} : { after: cursor }),
      })
      const items = found.slice(0, limit).map((document) => recordOf(document, store.serviceMs()))
      const last = items.at(-1)
      return { items, ...(found.length > limit && last !== undefined ? { nextCursor: last.id } : {}) }
    },
  )
  app.delete<{ Params: { id: string } }>(
    '/api/v1/enrollment-keys/:id',
    operation(
      routes,
      {
        operationId: 'revokeEnrollmentKey',
        tag: 'Enrollment keys',
        summary: 'Revoke an enrollment key',
        description: 'Agents that enrolled with it stay.',
        scope: 'admin',
        errors: ['outcome_unknown'],
      },
      { params: enrollmentKeyParams, querystring: noQuery, response: { 204: emptyReply } },
    ),
    async (request, reply) => {
      const { id } = request.params
      if (!(await enrollmentKeys.revoke(id, operatorOf(request).name))) {
        throw new HubError(
          'not_found',
          `There is no enrollment key ${id}, so nothing was revoked. Check the id.`,
        )
      }
      return reply.code(204).send()
    },
  )
}

function recordOf(document: EnrollmentKeyDocument, serviceMs: number): EnrollmentKeyRecord {
  const { id, usesMax, usesCount, labels, agentId, createdBy } = document
  return {
    id,
    state: stateOf(document, serviceMs),
    usesMax,
    usesCount,
    labels,
    ...(agentId === undefined ? {} : { agentId }),
    createdAt: new Date(document.createdMs).toISOString(),
    createdBy,
    expiresAt: new Date(document.expiresMs).toISOString(),
  }
}

function stateOf(document: EnrollmentKeyDocument, serviceMs: number): EnrollmentKeyRecord['state'] {
  if (document.revoked) return 'revoked'
  if (document.usesCount >= document.usesMax) return 'used'
  return document.expiresAtServiceMs <= serviceMs ? 'expired' : 'usable'
}
