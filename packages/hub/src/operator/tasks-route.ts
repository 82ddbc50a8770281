/** /api/v1/agents/:agentId/tasks: starting and listing tasks, and the last lines of their output. */
import { isTerminalStatus, type TaskRecord, type TaskRequest } from '@downlink/protocol'
import { taskRecords } from '../controls/task-records.ts'
import { assertNotRevoked } from '../enrollment/agents.ts'
import { HubError } from '../hub-error.ts'
import { askerOf } from './controls-route.ts'
import type { OperatorRoutes } from './operator-routes.ts'
import { lineNumber } from './operator-query.ts'
import { operation } from './operation.ts'
import { logReply, taskReply, tasksReply } from './reply-schemas.ts'
import {
  agentParams,
  idempotencyHeaders,
  logQuery,
  noQuery,
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

/** Adds the routes. */
export function addTasksRoutes(routes: OperatorRoutes): void {
  const { app, operatorOf, findAgent, watchAgent, service, memories } = routes

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
  app.get<OfAgent>(
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
      { params: agentParams, querystring: noQuery, response: { 200: tasksReply } },
    ),
    async (request) => {
      const { agentId } = await watchAgent(request.params.agentId)
      return { items: unfinishedFirst(taskRecords(await service.mailbox(agentId), memories.peek(agentId))) }
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
      const memory = memories.peek(agentId)
      const log = memory?.logs?.read(taskId)
      if (log === undefined) {
        const tasks = taskRecords(await service.mailbox(agentId), memory)
        if (!tasks.some((task) => task.taskId === taskId)) {
          throw new HubError('task_not_found', `Agent ${agentId} has no task ${taskId}. Check the id.`)
        }
        return { taskId, firstLine: 0, nextLine: 0, lines: [] }
      }
      const firstLine = Math.min(log.nextLine, Math.max(log.firstLine, after))
      return { taskId, firstLine, nextLine: log.nextLine, lines: log.lines.slice(firstLine - log.firstLine) }
    },
  )
}

function unfinishedFirst(tasks: readonly TaskRecord[]): readonly TaskRecord[] {
  return tasks.toSorted((a, b) => Number(isTerminalStatus(a.state)) - Number(isTerminalStatus(b.state)))
}
