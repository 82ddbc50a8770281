/** /api/v1/agents/:agentId/tasks: starting and listing tasks, and the last lines of their output. */
import { isTerminalStatus, type Page, type TaskRecord, type TaskRequest } from '@downlink/protocol'
import { taskRecords } from '../controls/task-records.ts'
import { assertNotRevoked } from '../enrollment/agents.ts'
import { HubError } from '../hub-error.ts'
import { askerOf } from './controls-route.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { lineNumber, pageLimit } from './operator-query.ts'
import { operation } from './operation.ts'
import { logReply, taskReply, tasksReply } from './reply-schemas.ts'
import {
  agentParams,
  idempotencyHeaders,
  logQuery,
  noQuery,
  pageQuery,
  taskBody,
  taskParams,
} from './request-schemas.ts'

interface OfAgent {
  Params: { agentId: string }
}
interface OfTask {
  Params: { agentId: string; taskId: string }
  Querystring: { after?: string }
}
interface Paging {
  Querystring: { limit?: string; cursor?: string }
}

/** Adds the routes. */
export function addTasksRoutes(routes: OperatorRoutes): void {
  const { app, operatorOf, findAgent, watchAgent, service, memories } = routes
  const tasksOf = async (agentId: string): Promise<readonly TaskRecord[]> =>
    taskRecords(await service.mailbox(agentId), memories.peek(agentId))
  const taskOf = async (agentId: string, taskId: string): Promise<TaskRecord> => {
    const found = (await tasksOf(agentId)).find((task) => task.taskId === taskId)
    if (found !== undefined) return found
    throw new HubError('task_not_found', `Agent ${agentId} has no task ${taskId}. Check the id.`)
  }

  app.post<OfAgent & { Body: TaskRequest }>(
    '/api/v1/agents/:agentId/tasks',
    operation(
      routes,
      {
        operationId: 'startTask',
        tag: 'Tasks',
        summary: 'Start a task',
        description:
          'Assigned at once; the agent begins it with its next sync. It runs only what its own configuration names.',
        scope: 'run',
        errors: [
          'agent_not_found',
          'task_not_found',
          'agent_revoked',
          'input_too_large',
          'task_exists',
          'mailbox_full',
          'outcome_unknown',
        ],
      },
      {
        params: agentParams,
        querystring: noQuery,
        headers: idempotencyHeaders,
        body: taskBody,
        response: { 200: taskReply, 201: taskReply },
      },
    ),
    async (request, reply) => {
      const operator = operatorOf(request)
      const agent = await findAgent(request.params.agentId)
      assertNotRevoked(agent)
      const made = await service.createTask(agent.agentId, request.body, askerOf(request, operator))
      return reply.code(made.isReplay ? 200 : 201).send(made.record)
    },
  )
  app.get<OfAgent & Paging>(
    '/api/v1/agents/:agentId/tasks',
    operation(
      routes,
      {
        operationId: 'listTasks',
        tag: 'Tasks',
        summary: "List an agent's tasks",
        scope: 'read',
        errors: ['agent_not_found'],
      },
      { params: agentParams, querystring: pageQuery, response: { 200: tasksReply } },
    ),
    async (request) => {
      const { agentId } = await watchAgent(request.params.agentId)
      return pageOf(await tasksOf(agentId), request.query)
    },
  )
  app.get<OfTask>(
    '/api/v1/agents/:agentId/tasks/:taskId',
    operation(
      routes,
      {
        operationId: 'getTask',
        tag: 'Tasks',
        summary: 'Show a task',
        scope: 'read',
        errors: ['agent_not_found', 'task_not_found'],
      },
      { params: taskParams, querystring: noQuery, response: { 200: taskReply } },
    ),
    async (request) => {
      const { agentId } = await watchAgent(request.params.agentId)
      return taskOf(agentId, request.params.taskId)
    },
  )
  app.get<OfTask>(
    '/api/v1/agents/:agentId/tasks/:taskId/log',
    operation(
      routes,
      {
        operationId: 'getTaskLog',
        tag: 'Tasks',
        summary: "Read the last lines of a task's output",
        scope: 'read',
        errors: ['agent_not_found', 'task_not_found'],
      },
      { params: taskParams, querystring: logQuery, response: { 200: logReply } },
    ),
    async (request) => {
      const { agentId } = await watchAgent(request.params.agentId)
      const { taskId } = request.params
      const after = lineNumber(request.query.after)
      const log = memories.peek(agentId)?.logs?.read(taskId)
      if (log === undefined) {
        await taskOf(agentId, taskId)
        return { taskId, firstLine: 0, nextLine: 0, lines: [] }
      }
      const firstLine = Math.min(log.nextLine, Math.max(log.firstLine, after))
      return { taskId, firstLine, nextLine: log.nextLine, lines: log.lines.slice(firstLine - log.firstLine) }
    },
  )
}

/** Unfinished ones first, then by id, so that a cursor holds while tasks come and go; it is the place of the last one shown. */
function pageOf(tasks: readonly TaskRecord[], query: Paging['Querystring']): Page<TaskRecord> {
  const limit = pageLimit(query.limit)
  const { cursor } = query
  if (cursor !== undefined && !/^[01]\../s.test(cursor)) {
    throw new HubError('bad_request', 'The cursor is not one of this listing. Start without it.')
  }
  const places = tasks.map((task) => ({ task, place: placeOf(task) }))
  const rest = places
    .filter(({ place }) => cursor === undefined || place > cursor)
    .toSorted((a, b) => (a.place < b.place ? -1 : 1))
  const shown = rest.slice(0, limit)
  const last = shown.at(-1)
  const items = shown.map(({ task }) => task)
  return rest.length > limit && last !== undefined ? { items, nextCursor: last.place } : { items }
}

function placeOf({ state, taskId }: TaskRecord): string {
  return `${isTerminalStatus(state) ? 1 : 0}.${taskId}`
}
