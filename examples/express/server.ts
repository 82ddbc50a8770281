/** A hub inside an Express application, below a path of its own. */
import { createOperatorClient } from '@downlink/client'
import { createHub, createOperatorToken, openSqliteStore } from '@downlink/hub'
import express from 'express'

const { PORT = '8787', DATA = './hub.db' } = process.env

const store = await openSqliteStore({ file: DATA })
const hub = await createHub({ store, basePath: '/downlink' })
const { token } = await createOperatorToken(store, { name: 'server', scopes: ['admin'] })
// The hub without a socket, for your own routes.
const operator = createOperatorClient({ url: 'http://localhost/downlink', token, fetch: hub.fetch })

const app = express()
// Before express.json(), so that the hub's own limits and errors hold; not app.use('/downlink', …), which cuts the path.
app.use(hub.handler)
app.use(express.json())
app.post('/agents/:agentId/tasks/:taskId/cancel', async (request, response) => {
  const { agentId, taskId } = request.params
  const { outcome, stamps } = await operator.task(agentId, taskId).cancel({ until: 'observed' })
  response.json({ state: outcome.state, isObserved: stamps.observed !== undefined })
})

const server = app.listen(Number(PORT), '127.0.0.1', () => {
  console.log('listening', server.address())
  console.log('token', token)
})

async function stop(): Promise<void> {
  await hub.drain() // first: streams are told when to come back
  server.close()
  server.closeAllConnections()
  await store[Symbol.asyncDispose]()
}
process.once('SIGTERM', () => void stop())
