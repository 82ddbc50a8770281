/** Controls: asking for one, waiting until it is applied or observed, showing and listing them. */
import { compareRevisions, type ControlRecord, type ControlRequest, type Page } from '@downlink/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Asker } from '../controls/control-request.ts'
import type { Until } from '../controls/control-waits.ts'
import { controlsOf } from '../controls/read-control.ts'
import { traceControl } from '../control-trace.ts'
import { assertNotRevoked } from '../enrollment/agents.ts'
import { HubError } from '../hub-error.ts'
import { makeControl } from './make-control.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { pageLimit, waitMs } from './operator-query.ts'
import {
  errorReplies,
  agentParams,
  controlBody,
  controlParams,
  controlReply,
  pageQuery,
  pageReply,
  waitQuery,
} from './operator-schemas.ts'
import type { Operator } from './operator-tokens.ts'

interface OfAgent {
  Params: { agentId: string }
}
interface Waiting {
  Querystring: { wait?: string; until?: Until }
}
interface Paging {
  Querystring: { limit?: string; cursor?: string }
}

/** Adds the routes. */
export function addControlsRoutes(routes: OperatorRoutes): void {
  const { app, needs, watchAgent, service, memories } = routes

  app.post<OfAgent & Waiting & { Body: ControlRequest }>(
    '/api/v1/agents/:agentId/controls',
    {
      onRequest: needs('control'),
      schema: {
        params: agentParams,
        querystring: waitQuery,
        body: controlBody,
        response: { 200: controlReply, 201: controlReply, ...errorReplies },
      },
    },
    (request, reply) => createControl(routes, request, reply),
  )
  app.get<OfAgent & Paging>(
    '/api/v1/agents/:agentId/controls',
    {
      onRequest: needs('read'),
      schema: {
        params: agentParams,
        querystring: pageQuery,
        response: { 200: pageReply(controlReply), ...errorReplies },
      },
    },
    async (request) => {
      const { agentId } = await watchAgent(request.params.agentId)
      return pageOf(controlsOf(await service.mailbox(agentId), memories), request.query)
    },
  )
  app.get<{ Params: { controlId: string } } & Waiting>(
    '/api/v1/controls/:controlId',
    {
      onRequest: needs('read'),
      schema: {
        params: controlParams,
        querystring: waitQuery,
        response: { 200: controlReply, ...errorReplies },
      },
    },
    async (request, reply) => {
      const { controlId } = request.params
      const { wait, until = 'applied' } = request.query
      const timeoutMs = waitMs(wait)
      const found = await service.control(controlId)
      if (found === undefined) throw notFound(controlId)
      if (timeoutMs === undefined) return found
      using slot = routes.waits.reserve(found.agentId)
      return (await slot.wait(controlId, until, timeoutMs, goneSignal(reply))) ?? found
    },
  )
}

/** Whom the request is from, and the key under which it may be repeated. */
export function askerOf(request: FastifyRequest, operator: Operator): Asker {
  const key = request.headers['idempotency-key']
  return { operator: operator.name, ...(typeof key === 'string' ? { idempotencyKey: key } : {}) }
}

async function createControl(
  routes: OperatorRoutes,
  request: FastifyRequest<OfAgent & Waiting & { Body: ControlRequest }>,
  reply: FastifyReply,
): Promise<ControlRecord> {
  const { operatorOf, findAgent, waits } = routes
  const operator = operatorOf(request)
  const { wait, until = 'applied' } = request.query
  const timeoutMs = waitMs(wait)
  const agent = await findAgent(request.params.agentId)
  assertNotRevoked(agent)
  // A place to wait is taken before anything is made: a hub that is full refuses without side effect.
  using slot = timeoutMs === undefined ? undefined : waits.reserve(agent.agentId)
  const asker = askerOf(request, operator)
  const { record, isReplay } = await makeControl(routes, agent.agentId, request.body, asker)
  reply.raw.once('finish', () => traceControl('replied', record.controlId))
  void reply.code(isReplay ? 200 : 201)
  if (slot === undefined || timeoutMs === undefined) return record
  return (await slot.wait(record.controlId, until, timeoutMs, goneSignal(reply))) ?? record
}

/** Aborts when the caller is gone, so that nobody waits for nothing. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  if (reply.raw.destroyed) gone.abort()
  else reply.raw.once('close', () => gone.abort())
  return gone.signal
}

/** Newest first; the cursor is the revision of the last one shown. */
function pageOf(controls: readonly ControlRecord[], query: Paging['Querystring']): Page<ControlRecord> {
  const limit = pageLimit(query.limit)
  const below = query.cursor === undefined ? undefined : /^(\d{1,15})\.(\d{1,15})$/.exec(query.cursor)
  if (below === null)
    throw new HubError('bad_request', 'The cursor is not one of this listing. Start without it.')
  const mark = below && { epoch: Number(below[1]), revision: Number(below[2]) }
  const rest = mark === undefined ? controls : controls.filter((other) => compareRevisions(other, mark) < 0)
  const items = rest.slice(0, limit)
  const last = items.at(-1)
  return rest.length > limit && last !== undefined
    ? { items, nextCursor: `${last.epoch}.${last.revision}` }
    : { items }
}

function notFound(controlId: string): HubError {
  return new HubError('control_not_found', `There is no control ${controlId}. Check the id.`)
}
