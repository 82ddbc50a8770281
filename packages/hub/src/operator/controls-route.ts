/** Controls: asking for one, waiting until it is applied or observed, showing and listing them. */
import { compareRevisions, type ControlRecord, type ControlRequest, type Page } from '@downlink/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Asker } from '../controls/control-request.ts'
import type { Until } from '../controls/control-waits.ts'
import { controlsOf } from '../controls/read-control.ts'
import { isTraced, traceControl } from '../control-trace.ts'
import { HubError } from '../hub-error.ts'
import { makeControl } from './make-control.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { pageLimit, waitMs } from './operator-query.ts'
import { operation } from './operation.ts'
import { controlReply, controlsReply } from './control-replies.ts'
import {
  agentParams,
  controlBody,
  controlParams,
  idempotencyHeaders,
  pageQuery,
  waitQuery,
} from './request-schemas.ts'
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
  const { app, watchAgent, service, memories } = routes

  app.post<OfAgent & Waiting & { Body: ControlRequest }>(
    '/api/v1/agents/:agentId/controls',
    operation(
      routes,
      {
        operationId: 'createControl',
        tag: 'Controls',
        summary: 'Issue a control',
        description:
          'Once this is answered with 2xx the control is never lost, and decided exactly once by its agent. With `wait` the answer comes when `until` is reached, can no longer be, or the time is up: look at `outcome`.',
        scope: 'control',
        errors: [
          'agent_not_found',
          'control_not_found',
          'agent_revoked',
          'args_reserved_name',
          'args_too_large',
          'task_cancelling',
          'mailbox_full',
          'lane_full',
          'too_many_waiters',
          'outcome_unknown',
        ],
      },
      {
        params: agentParams,
        querystring: waitQuery,
        headers: idempotencyHeaders,
        body: controlBody,
        response: { 200: controlReply, 201: controlReply },
      },
    ),
    (request, reply) => createControl(routes, request, reply),
  )
  app.get<OfAgent & Paging>(
    '/api/v1/agents/:agentId/controls',
    operation(
      routes,
      {
        operationId: 'listControls',
        tag: 'Controls',
        summary: "List an agent's controls",
        description: 'Open ones, and the last that were settled; older ones are in the audit trail.',
        scope: 'read',
        errors: ['agent_not_found'],
      },
      { params: agentParams, querystring: pageQuery, response: { 200: controlsReply } },
    ),
    async (request) => {
      const { agentId } = await watchAgent(request.params.agentId)
      return pageOf(controlsOf(await service.mailbox(agentId), memories), request.query)
    },
  )
  app.get<{ Params: { controlId: string } } & Waiting>(
    '/api/v1/controls/:controlId',
    operation(
      routes,
      {
        operationId: 'getControl',
        tag: 'Controls',
        summary: 'Show a control, or wait for it',
        scope: 'read',
        errors: ['control_not_found', 'too_many_waiters'],
      },
      { params: controlParams, querystring: waitQuery, response: { 200: controlReply } },
    ),
    async (request, reply) => {
      const { controlId } = request.params
      const { wait, until = 'applied' } = request.query
      const timeoutMs = waitMs(wait)
      const found = await service.control(controlId)
      if (found === undefined) throw notFound(controlId)
      if (timeoutMs === undefined) return found
      using slot = routes.waits.reserve(found.agentId, routes.operatorOf(request).tokenId)
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
  const { operatorOf, findTarget, waits } = routes
  const operator = operatorOf(request)
  const { wait, until = 'applied' } = request.query
  const timeoutMs = waitMs(wait)
  const agent = await findTarget(request.params.agentId)
  // A place to wait is taken before anything is made: a hub that is full refuses without side effect.
  using slot = timeoutMs === undefined ? undefined : waits.reserve(agent.agentId, operator.tokenId)
  const asker = askerOf(request, operator)
  const { record, isReplay } = await makeControl(routes, agent.agentId, request.body, asker)
  if (isTraced()) reply.raw.once('finish', () => traceControl('replied', record.controlId))
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
