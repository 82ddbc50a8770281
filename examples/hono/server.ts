/** A hub inside a Hono application: everything but the agents' stream; they ask by long-poll. */
import { createHub, openSqliteStore } from '@downlink/hub'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'

const { PORT = '8787', DATA = './hub.db', OPERATOR_PASSWORD = '' } = process.env
if (OPERATOR_PASSWORD === '') throw new Error('Set OPERATOR_PASSWORD.')

const store = await openSqliteStore({ file: DATA })
const hub = await createHub({
  store,
  basePath: '/downlink',
  async authenticateOperator({ headers }) {
    return headers.get('authorization') === `Bearer ${OPERATOR_PASSWORD}`
      ? { name: 'ada', scopes: ['admin'] }
      : undefined
  },
})

const app = new Hono()
app.all('/downlink/*', ({ req }) => hub.fetch(req.raw))
app.get('/', (context) => context.text('your own page'))

const server = serve({ fetch: app.fetch, port: Number(PORT), hostname: '127.0.0.1' }, (address) =>
  console.log('listening', address),
)

async function stop(): Promise<void> {
  await hub.drain() // first: what is held is answered
  server.close()
  await store[Symbol.asyncDispose]()
}
process.once('SIGTERM', () => void stop())
