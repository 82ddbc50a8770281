/** The operator API on Fastify: one application from its routes, authentication and error replies. */
import { isUtf8 } from 'node:buffer'
import { Readable } from 'node:stream'
import { limits, parseJson, type JsonObject } from '@downlink/protocol'
import { fastify, type FastifyInstance, type FastifyRequest } from 'fastify'
import { assertNotRevoked, type AgentDocument } from '../enrollment/agents.ts'
import { HubError } from '../hub-error.ts'
import { assertNotCompressed } from '../http/json-request.ts'
import { factsOf } from '../http/request-facts.ts'
import { hasUnreadBody } from '../http/request-guard.ts'
import { takenBody } from '../http/taken-body.ts'
import type { ReadUse } from '../store/store.ts'
import { addAgentsRoutes } from './agents-route.ts'
import { addAuditRoute } from './audit-route.ts'
import { collectOperations } from './openapi/collect-operations.ts'
import { addControlsBatchRoute } from './controls-batch-route.ts'
import { addControlsRoutes } from './controls-route.ts'
import { addDocumentRoutes } from './document-routes.ts'
import { addEnrollmentKeysRoutes } from './enrollment-keys-route.ts'
import { addFeedRoute } from './feed-route.ts'
import { addHealthRoutes } from './health-route.ts'
import { openapiDocument, type OperatorRoute } from './openapi/openapi-document.ts'
import { collectMethods, replyFrameworkError, setErrorReplies } from './operator-errors.ts'
import type { OperatorAppOptions, OperatorRoutes } from './operator-routes.ts'
import { createOperatorAuthentication } from './operator-authentication.ts'
import { assertScope, type AuthenticOperator } from './operator-tokens.ts'
import { addMetricsRoute } from './metrics-route.ts'
import { addOperatorTokensRoutes } from './operator-tokens-route.ts'
import { addTasksRoutes } from './tasks-route.ts'

/** Builds the application; it listens nowhere by itself. */
export async function createOperatorApp(options: OperatorAppOptions): Promise<FastifyInstance> {
  const { clock, store, agents, memories, rates } = options
  const app = fastify({
    bodyLimit: limits.OPERATOR_BODY_BYTES_MAX,
    // Ids in paths are at most two agent ids long.
    routerOptions: { maxParamLength: 4 * limits.ID_CHARS_MAX },
    // A misspelt member must be refused, not dropped, and "5" is no number.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
    exposeHeadRoutes: false,
    frameworkErrors: replyFrameworkError,
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (request: FastifyRequest, body: Buffer) => {
      assertNotCompressed(request.raw)
      if (body.length === 0) {
        // Many clients say that they send JSON with every request, also where there is nothing to send.
        if (request.routeOptions.schema?.body === undefined) return undefined
        throw new HubError('bad_json', 'The body is empty. Send a JSON object.')
      }
      const value = isUtf8(body) ? parseJson(body.toString('utf8'), limits.JSON_DEPTH_MAX) : undefined
      if (value !== undefined) return value
      throw new HubError(
        'bad_json',
        `The body is no JSON in UTF-8, or nested deeper than ${limits.JSON_DEPTH_MAX}. Correct it and send it again.`,
      )
    },
  )
  app.addHook('preParsing', (request, _reply, payload, done) => {
    const taken = takenBody(request.raw)
    if (taken === undefined) done(null, payload)
    // As long as it was announced, whatever it has become since.
    else done(null, Object.assign(Readable.from([taken]), { receivedEncodedLength: announcedBytes(request) }))
  })
  // With `done`: a promise for each request and hook costs more than what they do.
  app.addHook('onRequest', (request, reply, done) => {
    factsOf(reply.raw).route = request.routeOptions.url ?? 'none'
    done()
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    reply.header('Cache-Control', 'no-store')
    // What is left of a refused body is not worth reading.
    if (hasUnreadBody(request.raw)) reply.header('Connection', 'close')
    done()
  })
  // Whatever a route answers is what is sent: a member that its schema lacks must be seen, not dropped.
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  setErrorReplies(app, options)
  const add405s = collectMethods(app)
  async function findAgent(agentId: string, use?: ReadUse): Promise<AgentDocument> {
    const agent = await agents.read(agentId, use)
    if (agent !== undefined) return agent
    throw new HubError('agent_not_found', `There is no agent ${agentId}. Enroll it, or check the id.`)
  }
  const authenticate = createOperatorAuthentication(options)
  const operators = new WeakMap<FastifyRequest, AuthenticOperator>()
  const routes: OperatorRoutes = {
    ...options,
    app,
    needs: (scope) => async (request, reply) => {
      const operator = await authenticate(request.raw)
      factsOf(reply.raw).by = operator.name
      rates.countOperator(operator.tokenId)
      assertScope(operator, scope)
      operators.set(request, operator)
    },
    operatorOf(request) {
      const operator = operators.get(request)
      if (operator === undefined)
        throw new TypeError('The route asks for an operator without needing a scope.')
      return operator
    },
    findAgent,
    async findTarget(agentId) {
      // Whoever changes the mailbox next says what is wrong with it.
      store.read('mailboxes', agentId, 'again').catch(() => undefined)
      const agent = await findAgent(agentId, 'again')
      assertNotRevoked(agent)
      return agent
    },
    async watchAgent(agentId) {
      const agent = await findAgent(agentId)
      memories.of(agentId).watchedUntilMs = clock.monotonicMs() + limits.WATCHED_MS
      return agent
    },
  }
  addRoutes(routes)
  add405s()
  await app.ready()
  return app
}

/** Adds the routes of the API, and returns them as they were added: its document is made of them. */
export function addRoutes(routes: OperatorRoutes): readonly OperatorRoute[] {
  let document: JsonObject | undefined
  const operations = collectOperations(routes.app, () => {
    addHealthRoutes(routes)
    addMetricsRoute(routes)
    addAgentsRoutes(routes)
    addTasksRoutes(routes)
    addControlsRoutes(routes)
    addControlsBatchRoute(routes)
    addEnrollmentKeysRoutes(routes)
    addOperatorTokensRoutes(routes)
    addFeedRoute(routes)
    addAuditRoute(routes)
    addDocumentRoutes(routes, () => (document ??= openapiDocument(operations, routes.basePath)))
  })
  return operations
}

function announcedBytes(request: FastifyRequest): number {
  return Number(request.headers['content-length'] ?? 0)
}
