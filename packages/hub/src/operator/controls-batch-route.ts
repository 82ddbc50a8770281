/** POST /api/v1/controls: distinct controls in one request, or one for every agent that a selector means. */
import {
  isTerminalStatus,
  limits,
  type AgentControlRequest,
  type BatchControlResult,
  type BroadcastRequest,
  type ControlRequest,
  type ControlsRequest,
  type Page,
} from '@downlink/protocol'
import { taskRecords } from '../controls/task-records.ts'
import type { AgentDocument } from '../enrollment/agents.ts'
import { HubError, hubErrorOf } from '../hub-error.ts'
import { askerOf } from './controls-route.ts'
import { parseLabelSelector } from './label-selector.ts'
import { makeControl } from './make-control.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { readAgentRecord } from './read-agent.ts'
import { scanAgents } from './scan-agents.ts'
import { operation } from './operation.ts'
import { batchReply } from './control-replies.ts'
import { controlsBody, idempotencyHeaders, noQuery } from './request-schemas.ts'

/** Adds the route. */
export function addControlsBatchRoute(routes: OperatorRoutes): void {
  const { app, operatorOf } = routes
  app.post<{ Body: ControlsRequest }>(
    '/api/v1/controls',
    operation(
      routes,
      {
        operationId: 'createControls',
        tag: 'Controls',
        summary: 'Issue many controls',
        description:
          'Distinct ones as `items`, or one for every agent that `selector` means. What became of each is in the reply, a refusal too: one keeps nothing from the others. A broadcast is answered a page at a time: send it again with `nextCursor` as `cursor`. Under an Idempotency-Key of at most 126 characters all of it can be sent again.',
        scope: 'control',
        errors: ['outcome_unknown'],
      },
      {
        querystring: noQuery,
        headers: idempotencyHeaders,
        body: controlsBody,
        response: { 200: batchReply },
      },
    ),
    async (request): Promise<Page<BatchControlResult>> => {
      const { operator, idempotencyKey } = askerOf(request, operatorOf(request))
      assertRoomForSuffix(idempotencyKey)
      const issue: Issue = (agentId, control, keySuffix) =>
        issueOne(routes, agentId, control, {
          operator,
          ...(idempotencyKey === undefined ? {} : { idempotencyKey: `${idempotencyKey}/${keySuffix}` }),
        })
      const { body } = request
      if ('selector' in body) return issueToSelected(routes, body, issue)
      return { items: await issueItems(body.items, issue) }
    },
  )
}

/** @throws HubError `bad_idempotency_key`: each control has its own key, made of the request's and of its place. */
function assertRoomForSuffix(key: string | undefined): void {
  const charsMax = limits.IDEMPOTENCY_KEY_CHARS_MAX - limits.ID_CHARS_MAX - 1
  if (key === undefined || key.length <= charsMax) return
  throw new HubError(
    'bad_idempotency_key',
    `The Idempotency-Key of a batch must have at most ${charsMax} characters. Use a shorter one.`,
  )
}

/** Makes one control. Never throws: one that is refused must not hide what became of the others. */
type Issue = (agentId: string, control: ControlRequest, keySuffix: string) => Promise<BatchControlResult>

/**
 * Evaluates a part while the disk works on the part before, so that neither waits for the other, and nothing else waits for all.
 */
async function issueItems(
  items: readonly AgentControlRequest[],
  issue: Issue,
): Promise<readonly BatchControlResult[]> {
  const parts: Promise<BatchControlResult[]>[] = []
  for (let from = 0; from < items.length; from += limits.STORE_BATCH_ENTRIES_MAX) {
    await parts.at(-2)
    const part = items.slice(from, from + limits.STORE_BATCH_ENTRIES_MAX)
    parts.push(Promise.all(part.map((item, index) => issueItem(item, from + index, issue))))
  }
  return (await Promise.all(parts)).flat()
}

/** Two items for one task are two controls: their place tells them apart when the request is repeated. */
function issueItem(item: AgentControlRequest, index: number, issue: Issue): Promise<BatchControlResult> {
  const { agentId, ...control } = item
  return issue(agentId, control, String(index))
}

async function issueOne(
  routes: OperatorRoutes,
  agentId: string,
  control: ControlRequest,
  asker: Parameters<OperatorRoutes['service']['createControl']>[2],
): Promise<BatchControlResult> {
  const { taskId } = control
  try {
    await routes.findTarget(agentId)
    const { record } = await makeControl(routes, agentId, control, asker)
    return { agentId, taskId, controlId: record.controlId }
  } catch (error) {
    const { code, status, message } = hubErrorOf(error)
    if (status >= 500) routes.logger.warn({ error, agentId, taskId }, 'A control of a batch was not made')
    return { agentId, taskId, error: code, message }
  }
}

/** Goes through the agents in the order of their ids, as far as one request may; the cursor goes on from there. */
async function issueToSelected(
  routes: OperatorRoutes,
  { selector, cursor, ...control }: BroadcastRequest,
  issue: Issue,
): Promise<Page<BatchControlResult>> {
  const isMeant = parseLabelSelector(selector.label ?? '')
  const issued: Promise<BatchControlResult>[] = []
  const nextCursor = await scanAgents(routes.agents, cursor, async (agent) => {
    const taskIds = await meantTasks(routes, agent, selector, isMeant, control.taskId)
    if (issued.length > 0 && issued.length + taskIds.length > limits.BATCH_CONTROLS_MAX) return false
    for (const taskId of taskIds) issued.push(issue(agent.agentId, { ...control, taskId }, taskId))
    return true
  })
  return { items: await Promise.all(issued), ...(nextCursor === undefined ? {} : { nextCursor }) }
}

/** The tasks of an agent that a broadcast means: the one that it names, or all that are unfinished and of its kind. */
async function meantTasks(
  routes: OperatorRoutes,
  agent: AgentDocument,
  selector: BroadcastRequest['selector'],
  isMeant: ReturnType<typeof parseLabelSelector>,
  taskId: string | undefined,
): Promise<readonly string[]> {
  if (agent.revoked !== undefined) return []
  const record = await readAgentRecord(routes, agent)
  if (!isMeant(record.labels)) return []
  if (selector.status !== undefined && selector.status !== record.status) return []
  if (taskId !== undefined) return [taskId]
  const mailbox = await routes.service.mailbox(agent.agentId)
  return taskRecords(mailbox, routes.memories.peek(agent.agentId))
    .filter((task) => !isTerminalStatus(task.state) && task.state !== 'gone')
    .filter((task) => selector.kind === undefined || task.kind === selector.kind)
    .map((task) => task.taskId)
}
