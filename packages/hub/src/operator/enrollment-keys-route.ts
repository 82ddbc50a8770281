/** /api/v1/enrollment-keys: making, listing and revoking the keys that enroll agents. */
import { isAgentId } from '@downlink/protocol'
import type { EnrollmentKeyDocument, NewEnrollmentKey } from '../enrollment/enrollment-keys.ts'
import { HubError } from '../hub-error.ts'
import { askerOf } from './controls-route.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { pageLimit } from './operator-query.ts'
import {
  errorReplies,
  emptyReply,
  enrollmentKeyBody,
  enrollmentKeyReply,
  idParams,
  pageQuery,
  pageReply,
} from './operator-schemas.ts'

/** An enrollment key as operators see it. */
interface EnrollmentKeyRecord {
  readonly id: string
  readonly state: 'usable' | 'used' | 'expired' | 'revoked'
  readonly usesMax: number
  readonly usesCount: number
  readonly labels: Readonly<Record<string, string>>
  readonly agentId?: string
  readonly createdAt: string
  readonly createdBy: string
  readonly expiresAt: string
}

/** Adds the routes. */
export function addEnrollmentKeysRoutes({
  app,
  needs,
  operatorOf,
  enrollmentKeys,
  store,
}: OperatorRoutes): void {
  app.post<{ Body: NewEnrollmentKey }>(
    '/api/v1/enrollment-keys',
    {
      onRequest: needs('admin'),
      schema: {
        body: enrollmentKeyBody,
        response: { 200: enrollmentKeyReply, 201: enrollmentKeyReply, ...errorReplies },
      },
    },
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
    {
      onRequest: needs('admin'),
      schema: { querystring: pageQuery, response: { 200: pageReply(enrollmentKeyReply), ...errorReplies } },
    },
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
    {
      onRequest: needs('admin'),
      schema: { params: idParams, response: { 204: emptyReply, ...errorReplies } },
    },
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
