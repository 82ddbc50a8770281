/** The small calls of the agent API: key exchange, register, deregister, status, task-control. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  arrayField,
  field,
  isAgentId,
  isJsonObject,
  limits,
  parseSyncRequest,
  stringField,
  type Clock,
  type Json,
  type JsonObject,
} from '@downlink/protocol'
import {
  isWatched,
  rememberUpdates,
  type AgentIdentity,
  type AgentMemories,
  type TaskUpdate,
} from '../controls/agent-memory.ts'
import type { ControlService } from '../controls/service.ts'
import type { SessionRegistry } from '../delivery/session-registry.ts'
import type { WakePolls } from '../delivery/wake-polls.ts'
import { assertNewestBoot } from '../delivery/earlier-boots.ts'
import { agentMismatch } from '../delivery/sync-route.ts'
import { HubError } from '../hub-error.ts'
import type { AgentCall, AgentRoute, PublicRoute } from '../http/agent-api.ts'
import { replyJson } from '../http/json-reply.ts'
import type { RateLimits } from '../http/rate-limits.ts'
import { readJsonObject } from '../http/json-request.ts'
import type { Agents } from './agents.ts'
import type { EnrollmentKeys } from './enrollment-keys.ts'

/** What the routes need of the hub. */
export interface AgentRoutesOptions {
  readonly agents: Agents
  readonly enrollmentKeys: EnrollmentKeys
  readonly memories: AgentMemories
  readonly service: ControlService
  readonly clock: Clock
  readonly registry: SessionRegistry
  readonly polls: WakePolls
  readonly rates: RateLimits
  /** Ends the stream and the poll of an agent whose key was replaced. */
  readonly endLinks: (agentId: string) => void
}

/** Originals keep the id of their user; here all agents belong to the hub's owner. */
const USER_ID = 'downlink'

/** Builds the routes. */
export function createAgentRoutes(options: AgentRoutesOptions): readonly (AgentRoute | PublicRoute)[] {
  return [
    {
      method: 'POST',
      path: 'authkey/exchange',
      handlePublic: (request, response) => exchange(options, request, response),
    },
    { method: 'POST', path: 'register', handle: (call) => register(options, call) },
    { method: 'POST', path: 'deregister', handle: (call) => deregister(options, call) },
    { method: 'POST', path: 'status', handle: (call) => status(options, call) },
    { method: 'POST', path: 'task-control', handle: (call) => taskControl(options, call) },
  ]
}

async function exchange(
  { enrollmentKeys, endLinks, rates }: AgentRoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  rates.countExchange(request.socket.remoteAddress)
  const body = await readJsonObject(request, limits.OPERATOR_BODY_BYTES_MAX)
  const agentId = field(body, 'agentId')
  const authKey = stringField(body, 'authKey', 1_024)
  if (!isAgentId(agentId) || authKey === undefined) {
    throw new HubError(
      'bad_request',
      `The exchange must have an authKey, and an agentId of 1 to ${limits.ID_CHARS_MAX} letters, digits or ._:@- that begins with a letter or digit.`,
    )
  }
  const { apiKey } = await enrollmentKeys.exchange({
    authKey,
    agentId,
    ...textsOf(body, ['hostname', 'platform', 'exchangeId']),
  })
  // The key before it is retired, whoever holds it.
  endLinks(agentId)
  await replyJson(response, 200, { apiKey, userId: USER_ID, agentId })
}

async function register(options: AgentRoutesOptions, call: AgentCall): Promise<void> {
  const { memories, agents } = options
  const body = await bodyOfAgent(call)
  const { agentId } = call.agent
  // An older boot would take the key away from the newer one.
  await assertNewestBoot(options, agentId, bootNonceOf(body))
  const memory = memories.of(agentId)
  const identity: AgentIdentity = textsOf(body, ['name', 'version', 'os', 'arch'])
  memory.identity = { ...memory.identity, ...identity }
  const successor = agents.isRotationWanted(call.agent, call.keyId)
    ? await agents.issueKey(agentId, call.keyId)
    : undefined
  await replyJson(call.response, 200, {
    success: true,
    user: {},
    features: {},
    ...(successor === undefined ? {} : { agentKey: successor.token }),
  })
}

async function deregister(options: AgentRoutesOptions, call: AgentCall): Promise<void> {
  const { memories, registry, polls } = options
  const { agentId } = call.agent
  // The good-bye of an older boot must not end what the newer one has open.
  await assertNewestBoot(options, agentId, bootNonceOf(await bodyOfAgent(call)))
  memories.of(agentId).deregistered = true
  registry.get(agentId)?.end('deregistered')
  polls.end(agentId, { kind: 'wake', wake: false })
  await replyJson(call.response, 200, { success: true })
}

async function status({ memories, clock }: AgentRoutesOptions, call: AgentCall): Promise<void> {
  const body = await readJsonObject(call.request, limits.AGENT_BODY_BYTES_MAX)
  const { agentId } = call.agent
  const several = field(body, 'updates')
  const updates = Array.isArray(several) ? arrayField(body, 'updates', limits.TASKS_PER_SYNC_MAX) : [body]
  const memory = memories.of(agentId)
  rememberUpdates(memory, readUpdates(agentId, updates), clock.wallMs())
  // Never a failure for one of them: after three in a row an original drops the task. The syncs say the same again.
  await replyJson(call.response, 200, {
    results: updates.map(() => ({ success: true })),
    watching: isWatched(memory, clock.monotonicMs()),
  })
}

/** Reads updates as a sync's reports; only the members that are there say anything. */
function readUpdates(agentId: string, updates: readonly Json[]): readonly TaskUpdate[] {
  return updates.flatMap((update) => {
    const report = parseSyncRequest({ agentId, tasks: [update] })?.tasks[0]
    if (report === undefined || !isJsonObject(update)) return []
    const { status: reported, progress, ...rest } = report
    return [
      {
        ...rest,
        ...(field(update, 'status') === undefined ? {} : { status: reported }),
        ...(field(update, 'progress') === undefined ? {} : { progress }),
      },
    ]
  })
}

async function taskControl({ service }: AgentRoutesOptions, call: AgentCall): Promise<void> {
  const body = await bodyOfAgent(call)
  const taskId = stringField(body, 'taskId', limits.ID_CHARS_MAX)
  const action = stringField(body, 'action', limits.ACTION_CHARS_MAX)
  if (taskId === undefined || action === undefined) {
    throw new HubError('bad_request', 'A task-control needs a taskId and an action. Add them.')
  }
  const reason = field(body, 'reason')
  await service.recordLocalDecision(call.agent.agentId, {
    taskId,
    action,
    ...(typeof reason === 'string' ? { reason: reason.slice(0, limits.MESSAGE_CHARS_MAX) } : {}),
  })
  await replyJson(call.response, 200, { success: true })
}

function bootNonceOf(body: JsonObject): string | undefined {
  return stringField(body, 'bootNonce', limits.ID_CHARS_MAX)
}

async function bodyOfAgent({ request, agent }: AgentCall): Promise<JsonObject> {
  const body = await readJsonObject(request, limits.AGENT_BODY_BYTES_MAX)
  if (field(body, 'agentId') !== agent.agentId) throw agentMismatch()
  return body
}

function textsOf<K extends string>(body: JsonObject, names: readonly K[]): { [name in K]?: string } {
  const texts: { [name in K]?: string } = {}
  for (const name of names) {
    const text = stringField(body, name, limits.ID_CHARS_MAX)
    if (text !== undefined) texts[name] = text
  }
  return texts
}
