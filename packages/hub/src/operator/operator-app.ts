/** The operator API on Fastify: one application from its routes, authentication and error replies. */
import { limits, parseJson } from '@downlink/protocol'
import { fastify, type FastifyInstance } from 'fastify'
import type { AgentDocument } from '../enrollment/agents.ts'
import { HubError } from '../hub-error.ts'
import { addAgentsRoutes } from './agents-route.ts'
import { addControlsRoutes } from './controls-route.ts'
import { addEnrollmentKeysRoutes } from './enrollment-keys-route.ts'
import { addHealthRoutes } from './health-route.ts'
import { collectMethods, setErrorReplies } from './operator-errors.ts'
import type { OperatorAppOptions, OperatorRoutes } from './operator-routes.ts'
import { authenticateOperator } from './operator-tokens.ts'
import { addTasksRoutes } from './tasks-route.ts'

/** Builds the application; it listens nowhere by itself. */
export async function createOperatorApp(options: OperatorAppOptions): Promise<FastifyInstance> {
  const { store, clock, logger, agents, memories } = options
  const app = fastify({
    bodyLimit: limits.OPERATOR_BODY_BYTES_MAX,
    // Ids in paths are at most two agent ids long.
    routerOptions: { maxParamLength: 4 * limits.ID_CHARS_MAX },
    // A misspelt member must be refused, not dropped, and "5" is no number.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
    exposeHeadRoutes: false,
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string' },
    async (_request: unknown, text: string) => {
      const value = parseJson(text, limits.JSON_DEPTH_MAX)
      if (value !== undefined) return value
      throw new HubError(
        'bad_json',
        `The body is no JSON, or nested deeper than ${limits.JSON_DEPTH_MAX}. Correct it and send it again.`,
      )
    },
  )
  app.addHook('onSend', async (_request, reply) => void reply.header('Cache-Control', 'no-store'))
  setErrorReplies(app, logger)
  const add405s = collectMethods(app)
  async function findAgent(agentId: string): Promise<AgentDocument> {
    const agent = await agents.read(agentId)
    if (agent !== undefined) return agent
    throw new HubError('agent_not_found', `There is no agent ${agentId}. Enroll it, or check the id.`)
  }
  const routes: OperatorRoutes = {
    ...options,
    app,
    authorize: (request, scope) => authenticateOperator(store, request.headers.authorization, scope),
    findAgent,
    async watchAgent(agentId) {
      const agent = await findAgent(agentId)
      memories.of(agentId).watchedUntilMs = clock.monotonicMs() + limits.WATCHED_MS
      return agent
    },
  }
  addHealthRoutes(routes)
  addAgentsRoutes(routes)
  addTasksRoutes(routes)
  addControlsRoutes(routes)
  addEnrollmentKeysRoutes(routes)
  add405s()
  await app.ready()
  return app
}
