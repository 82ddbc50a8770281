/** The agent API's route table on bare `node:http`: finds the route, authenticates, and answers every error. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AgentMemories } from '../controls/agent-memory.ts'
import { bearerToken } from '../enrollment/secrets.ts'
import type { AgentDocument, Agents } from '../enrollment/agents.ts'
import { HubError, hubErrorOf } from '../hub-error.ts'
import type { Logger } from '../logger.ts'
import { replyError } from './json-reply.ts'
import { factsOf } from './request-facts.ts'
import type { RateLimits } from './rate-limits.ts'

/** Every agent route begins with it. */
export const AGENT_API_PREFIX = '/api/internal/agent/'

/** A request of an authenticated agent. */
export interface AgentCall {
  readonly agent: AgentDocument
  /** Of the key that it sent. */
  readonly keyId: string
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** When its headers arrived, on the store's service time. */
  readonly beganServiceMs: number
}

/** A route; errors that it throws are answered for it. */
export interface AgentRoute {
  readonly method: 'GET' | 'POST'
  /** Below {@link AGENT_API_PREFIX}. */
  readonly path: string
  readonly handle: (call: AgentCall) => Promise<void>
}

/** A route that needs no credential. */
export interface PublicRoute {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly handlePublic: (request: IncomingMessage, response: ServerResponse) => Promise<void>
}

/** What the table needs of the hub. */
export interface AgentApiOptions {
  readonly routes: readonly (AgentRoute | PublicRoute)[]
  readonly agents: Agents
  readonly logger: Logger
  readonly rates: RateLimits
  readonly memories: AgentMemories
  readonly serviceMs: () => number
  /** Called for every authenticated request, before its route. */
  readonly onSeen: (agentId: string) => void
  /** Called when such a request was answered, or its stream opened. */
  readonly onHandled: (agentId: string) => void
  /** Called when a new key of an agent was used for the first time, before its route. */
  readonly onKeyReplaced: (agentId: string) => void
}

/** Answers one request whose path begins with {@link AGENT_API_PREFIX}. */
export type AgentApi = (request: IncomingMessage, response: ServerResponse, path: string) => void

/** Builds the table. */
export function createAgentApi(options: AgentApiOptions): AgentApi {
  const { routes, agents, logger, rates, memories, serviceMs, onSeen, onHandled, onKeyReplaced } = options

  async function answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const beganServiceMs = serviceMs()
    const route = findRoute(routes, request.method ?? '', path, response)
    const facts = factsOf(response)
    facts.route = route.path
    if ('handlePublic' in route) return route.handlePublic(request, response)
    const token = bearerToken(request.headers.authorization)
    const { agent, keyId, isFirstUse } = await agents.authenticate(token)
    facts.by = agent.agentId
    if (isFirstUse) onKeyReplaced(agent.agentId)
    onSeen(agent.agentId)
    try {
      rates.countAgent(memories.of(agent.agentId))
      await route.handle({ agent, keyId, request, response, beganServiceMs })
    } finally {
      onHandled(agent.agentId)
    }
  }

  return (request, response, path) => {
    // Read while it is there: a request that was cut has no socket any more.
    const { remoteAddress } = request.socket
    answer(request, response, path).catch((error: unknown) => {
      const hubError = rates.countFailure(hubErrorOf(error), remoteAddress)
      if (hubError.status >= 500) logger.warn({ error, path }, 'A request of an agent failed')
      replyError(response, hubError)
    })
  }
}

function findRoute(
  routes: AgentApiOptions['routes'],
  method: string,
  path: string,
  response: ServerResponse,
): AgentRoute | PublicRoute {
  const atPath = routes.filter((route) => AGENT_API_PREFIX + route.path === path)
  const found = atPath.find((route) => route.method === method)
  if (found !== undefined) return found
  if (atPath.length === 0)
    throw new HubError(
      'not_found',
      'There is nothing at this path of the agent API. PROTOCOL.md lists the calls.',
    )
  const allowed = atPath.map((route) => route.method).join(', ')
  response.setHeader('Allow', allowed)
  throw new HubError('method_not_allowed', `This path does not take the method. Use ${allowed}.`)
}
