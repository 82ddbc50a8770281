/** /api/v1/agents: listing, showing, nudging and revoking agents. */
import type { AgentRecord, NudgeReply, NudgeRequest, Page } from '@downlink/protocol'
import { agentRevoked } from '../enrollment/agents.ts'
import { HubError } from '../hub-error.ts'
import { readAgentDetail, readAgentRecord } from './read-agent.ts'
import { parseLabelSelector } from './label-selector.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { pageLimit } from './operator-query.ts'
import { operation } from './operation.ts'
import { agentReply, agentsReply, nudgeReply, nudgesReply } from './agent-replies.ts'
import { scanAgents } from './scan-agents.ts'
import { emptyReply } from './reply-schemas.ts'
import { agentParams, agentsQuery, noQuery, nudgeBody } from './request-schemas.ts'

interface OfAgent {
  Params: { agentId: string }
}
interface AgentsQuery {
  limit?: string
  cursor?: string
  status?: AgentRecord['status']
  label?: string
}

/** Adds the routes. */
export function addAgentsRoutes(routes: OperatorRoutes): void {
  const { app, operatorOf, findAgent, watchAgent, agents, registry, polls, service, memories, nudges } =
    routes

  app.get<{ Querystring: AgentsQuery }>(
    '/api/v1/agents',
    operation(
      routes,
      {
        operationId: 'listAgents',
        tag: 'Agents',
        summary: 'List agents',
        description:
          'A page looks at a bounded number of agents, so with a filter it may be short, or empty, and still have a `nextCursor`.',
        scope: 'read',
      },
      { querystring: agentsQuery, response: { 200: agentsReply } },
    ),
    async (request) => {
      return listAgents(routes, request.query)
    },
  )
  app.get<OfAgent>(
    '/api/v1/agents/:agentId',
    operation(
      routes,
      {
        operationId: 'getAgent',
        tag: 'Agents',
        summary: 'Show an agent',
        scope: 'read',
        errors: ['agent_not_found'],
      },
      { params: agentParams, querystring: noQuery, response: { 200: agentReply } },
    ),
    async (request) => {
      return readAgentDetail(routes, await watchAgent(request.params.agentId))
    },
  )
  app.post<OfAgent>(
    '/api/v1/agents/:agentId/sync',
    operation(
      routes,
      {
        operationId: 'nudgeAgent',
        tag: 'Agents',
        summary: 'Have an agent sync now',
        scope: 'control',
        errors: ['agent_not_found'],
        isBodiless: true,
      },
      { params: agentParams, querystring: noQuery, response: { 200: nudgeReply } },
    ),
    async (request) => {
      const { agentId } = await findAgent(request.params.agentId)
      return { nudged: nudges.now(agentId, 'operator') }
    },
  )
  app.post<{ Body: NudgeRequest }>(
    '/api/v1/sync',
    operation(
      routes,
      {
        operationId: 'nudgeAgents',
        tag: 'Agents',
        summary: 'Have many agents sync',
        description:
          'Each comes at a random time within `withinMs`, so that they do not all come at once. An empty selector means all that this hub has met since it started. With any other, a request looks at a bounded number of agents: send it again with `nextCursor` as `cursor`.',
        scope: 'control',
      },
      { querystring: noQuery, body: nudgeBody, response: { 200: nudgesReply } },
    ),
    (request) => nudgeAgents(routes, request.body),
  )
  app.post<OfAgent>(
    '/api/v1/agents/:agentId/rotate-key',
    operation(
      routes,
      {
        operationId: 'rotateAgentKey',
        tag: 'Agents',
        summary: 'Have an agent replace its key',
        description:
          'The old key holds until the new one has been used. `keyRotation` of the agent is gone once that is so.',
        scope: 'admin',
        errors: ['agent_not_found', 'agent_revoked', 'outcome_unknown'],
        isBodiless: true,
      },
      { params: agentParams, querystring: noQuery, response: { 200: agentReply } },
    ),
    async (request) => {
      const agent = await agents.askRotation(request.params.agentId, operatorOf(request).name)
      if (agent === undefined) throw agentNotFound(request.params.agentId, 'no key was replaced')
      nudges.now(agent.agentId, 'rotate-key')
      return readAgentRecord(routes, agent)
    },
  )
  app.delete<OfAgent>(
    '/api/v1/agents/:agentId',
    operation(
      routes,
      {
        operationId: 'revokeAgent',
        tag: 'Agents',
        summary: 'Revoke an agent',
        description:
          'For good: no key of its holds any more, its stream ends, and what is open fails as `agent_revoked`. To use it again it must be enrolled anew.',
        scope: 'admin',
        errors: ['agent_not_found', 'outcome_unknown'],
      },
      { params: agentParams, querystring: noQuery, response: { 204: emptyReply } },
    ),
    async (request, reply) => {
      const operator = operatorOf(request)
      const { agentId } = request.params
      if (!(await agents.revoke(agentId, operator.name))) {
        throw agentNotFound(agentId, 'nothing was revoked')
      }
      registry.get(agentId)?.end('revoked')
      memories.of(agentId).isRevoked = true
      polls.end(agentId, { kind: 'refused', error: agentRevoked(agentId) })
      await service.closeControls(agentId)
      return reply.code(204).send()
    },
  )
}

function agentNotFound(agentId: string, consequence: string): HubError {
  return new HubError('agent_not_found', `There is no agent ${agentId}, so ${consequence}. Check the id.`)
}

/** Filtering looks at a bounded number of agents, then returns what it has found so far, with a cursor. */
async function listAgents(routes: OperatorRoutes, query: AgentsQuery): Promise<Page<AgentRecord>> {
  const limit = pageLimit(query.limit)
  const isMeant = parseLabelSelector(query.label ?? '')
  const items: AgentRecord[] = []
  const nextCursor = await scanAgents(routes.agents, query.cursor, async (agent) => {
    if (items.length === limit) return false
    const record = await readAgentRecord(routes, agent)
    if ((query.status === undefined || record.status === query.status) && isMeant(record.labels)) {
      items.push(record)
    }
    return true
  })
  return { items, ...(nextCursor === undefined ? {} : { nextCursor }) }
}

async function nudgeAgents(routes: OperatorRoutes, request: NudgeRequest): Promise<NudgeReply> {
  const { selector, withinMs = routes.windowMs(), cursor } = request
  if (cursor === undefined && selector.label === undefined && selector.status === undefined)
    return { nudged: await routes.nudges.within(metAgents(routes), withinMs), withinMs }
  const isMeant = parseLabelSelector(selector.label ?? '')
  const agentIds: string[] = []
  const nextCursor = await scanAgents(routes.agents, cursor, async (agent) => {
    if (agent.revoked !== undefined) return true
    const { agentId, labels, status } = await readAgentRecord(routes, agent)
    if ((selector.status === undefined || status === selector.status) && isMeant(labels))
      agentIds.push(agentId)
    return true
  })
  const nudged = await routes.nudges.within(agentIds, withinMs)
  return { nudged, withinMs, ...(nextCursor === undefined ? {} : { nextCursor }) }
}

/** Nobody else has a stream or a poll here, so the store need not be asked. */
function metAgents({ memories }: OperatorRoutes): readonly string[] {
  return [...memories.all()].filter(([, memory]) => !memory.isRevoked).map(([agentId]) => agentId)
}
