/** Every endpoint of both APIs, for tests that try them all. */
import type { ErrorCode, OperatorScope } from '@downlink/protocol'

/** One endpoint. `unknown`: its path with an id of nobody, and the code for that. */
export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly by: 'agents' | 'nobody' | OperatorScope
  readonly hasBody?: true
  readonly unknown?: readonly [path: string, code: ErrorCode]
}

const agentApi = (path: string): string => `/api/internal/agent/${path}`
const api = (path: string): string => `/api/v1/${path}`
const nobody = (path: string): readonly [string, ErrorCode] => [
  api(`agents/nobody${path}`),
  'agent_not_found',
]

export const ENDPOINTS: readonly Endpoint[] = [
  { method: 'GET', path: agentApi('events'), by: 'agents' },
  { method: 'GET', path: agentApi('wake'), by: 'agents' },
  { method: 'POST', path: agentApi('sync'), by: 'agents', hasBody: true },
  { method: 'POST', path: agentApi('register'), by: 'agents', hasBody: true },
  { method: 'POST', path: agentApi('deregister'), by: 'agents', hasBody: true },
  { method: 'POST', path: agentApi('status'), by: 'agents', hasBody: true },
  { method: 'POST', path: agentApi('task-control'), by: 'agents', hasBody: true },
  { method: 'POST', path: agentApi('authkey/exchange'), by: 'nobody', hasBody: true },
  { method: 'GET', path: api('agents'), by: 'read' },
  { method: 'GET', path: api('agents/a1'), by: 'read', unknown: nobody('') },
  { method: 'DELETE', path: api('agents/b1'), by: 'admin', unknown: nobody('') },
  { method: 'POST', path: api('agents/a1/sync'), by: 'control', unknown: nobody('/sync') },
  { method: 'POST', path: api('sync'), by: 'control', hasBody: true },
  { method: 'POST', path: api('agents/a1/rotate-key'), by: 'admin', unknown: nobody('/rotate-key') },
  { method: 'GET', path: api('agents/a1/controls'), by: 'read', unknown: nobody('/controls') },
  { method: 'POST', path: api('agents/a1/controls'), by: 'control', hasBody: true },
  { method: 'POST', path: api('controls'), by: 'control', hasBody: true },
  {
    method: 'GET',
    path: api('controls/a1~1'),
    by: 'read',
    unknown: [api('controls/a1~1'), 'control_not_found'],
  },
  { method: 'GET', path: api('agents/a1/tasks'), by: 'read', unknown: nobody('/tasks') },
  { method: 'POST', path: api('agents/a1/tasks'), by: 'run', hasBody: true },
  { method: 'GET', path: api('agents/a1/tasks/t1'), by: 'read', unknown: nobody('/tasks/t1') },
  { method: 'GET', path: api('agents/a1/tasks/t1/log'), by: 'read', unknown: nobody('/tasks/t1/log') },
  {
    method: 'GET',
    path: api('events'),
    by: 'read',
    unknown: [api('events?agentId=nobody'), 'agent_not_found'],
  },
  { method: 'GET', path: '/metrics', by: 'read' },
  { method: 'GET', path: '/openapi.json', by: 'nobody' },
  { method: 'GET', path: '/docs', by: 'nobody' },
  { method: 'GET', path: api('operator-tokens'), by: 'admin' },
  { method: 'POST', path: api('operator-tokens'), by: 'admin', hasBody: true },
  {
    method: 'DELETE',
    path: api('operator-tokens/none'),
    by: 'admin',
    unknown: [api('operator-tokens/none'), 'not_found'],
  },
  { method: 'GET', path: api('enrollment-keys'), by: 'admin' },
  { method: 'POST', path: api('enrollment-keys'), by: 'admin', hasBody: true },
  {
    method: 'DELETE',
    path: api('enrollment-keys/none'),
    by: 'admin',
    unknown: [api('enrollment-keys/none'), 'not_found'],
  },
]
