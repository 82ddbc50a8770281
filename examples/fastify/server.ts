/** A hub inside a Fastify application, whose own users are its operators. */
import { createHub, openSqliteStore, type OperatorScope } from '@downlink/hub'
import { fastify } from 'fastify'

const { PORT = '8787', DATA = './hub.db', OPERATOR_PASSWORD = '' } = process.env
if (OPERATOR_PASSWORD === '') throw new Error('Set OPERATOR_PASSWORD.')

/** Stands for your own sessions. */
const sessions = new Map<string, { readonly name: string; readonly scopes: readonly OperatorScope[] }>([
  [OPERATOR_PASSWORD, { name: 'ada', scopes: ['admin'] }],
])

const store = await openSqliteStore({ file: DATA })
const hub = await createHub({
  store,
  async authenticateOperator({ headers }) {
    return sessions.get(headers.get('authorization')?.replace(/^Bearer /, '') ?? '')
  },
})

const app = fastify()
// Before Fastify reads the body. What is the hub's never comes back from here; all else goes on by `done`.
app.addHook('onRequest', (request, reply, done) => hub.handler(request.raw, reply.raw, done as () => void))
app.get('/', async () => 'your own page')

console.log('listening', await app.listen({ port: Number(PORT), host: '127.0.0.1' }))

async function stop(): Promise<void> {
  await hub.drain() // first: streams are told when to come back
  await app.close()
  await store[Symbol.asyncDispose]()
}
process.once('SIGTERM', () => void stop())
