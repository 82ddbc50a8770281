/** The hub of the idle bench: heartbeats at their default rate, one agent enrolled; prints its URL and the agent's key. */
import { enroll, memoryCredential } from '@downlink/agent'
import { createOperatorClient } from '@downlink/client'
import { createHub, createMemoryStore, createOperatorToken } from '@downlink/hub'

const store = createMemoryStore()
const { token } = await createOperatorToken(store, { name: 'bench', scopes: ['admin'] })
const hub = await createHub({ store })
const url = await hub.listen({ port: 0 })
const client = createOperatorClient({ url, token })

process.on('message', () => void answer())

/** Each request enrolls one more agent. */
async function answer(): Promise<void> {
  const { key } = await client.createEnrollmentKey()
  const credential = memoryCredential()
  await enroll({ hub: url, enrollmentKey: key, agentId: `idle-${crypto.randomUUID()}`, credential })
  process.send?.({ url: url.href, key: await credential.read() })
}
