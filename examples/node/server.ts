/** A hub inside a server of bare Node, with operators and jobs of its own. */
import { createHub, openSqliteStore, type OwnControl } from '@downlink/hub'
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const { PORT = '8787', DATA = './hub.db', OPERATOR_PASSWORD = '' } = process.env
if (OPERATOR_PASSWORD === '') throw new Error('Set OPERATOR_PASSWORD.')

/** Your own table of jobs: which agent has which, and whether it is to end. */
const jobs = new Map<string, { readonly agentId: string; isWanted: boolean }>()

const store = await openSqliteStore({ file: DATA })
const hub = await createHub({
  store,
  // Your own authentication: here one password, in yours whatever a request carries.
  async authenticateOperator(request) {
    const sent = request.headers.get('authorization')?.replace(/^Bearer /, '') ?? ''
    return isSame(sent, OPERATOR_PASSWORD) ? { name: 'ada', scopes: ['admin'] } : undefined
  },
  // Your own content: a job is handed out until the agent lists it, and cancelled until it no longer runs.
  async onSync({ agentId, body }) {
    const tasks = Array.isArray(body.tasks)
      ? (body.tasks as readonly { taskId: string; status: string }[])
      : []
    const listed = new Map(tasks.map((task) => [task.taskId, task.status]))
    const own = [...jobs].filter(([, job]) => job.agentId === agentId)
    const controls = own.flatMap(([taskId, job]): OwnControl[] =>
      !job.isWanted && listed.get(taskId) === 'running' ? [{ action: 'cancel', taskId }] : [],
    )
    const newTasks = own.flatMap(([id, job]) =>
      job.isWanted && !listed.has(id) ? [{ id, kind: 'backup' }] : [],
    )
    return { controls, newTasks, extra: { motd: `hello ${agentId}` } }
  },
})

const server = createServer((request, response) => {
  hub.handler(request, response, () => {
    // Everything that is not the hub's: your own pages.
    const [, verb, agentId = '', job = ''] = (request.url ?? '').split('/')
    if (request.method === 'POST' && verb === 'start') jobs.set(job, { agentId, isWanted: true })
    else if (request.method === 'POST' && verb === 'end') jobs.set(job, { agentId, isWanted: false })
    else response.statusCode = 404
    response.end()
  })
})
server.listen(Number(PORT), '127.0.0.1', () => console.log('listening', server.address()))

async function stop(): Promise<void> {
  await hub.drain() // first: streams are told when to come back
  server.close()
  server.closeAllConnections()
  await store[Symbol.asyncDispose]()
}
process.once('SIGTERM', () => void stop())

function isSame(a: string, b: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(a), hash(b))
}
