/** A client that knows an agent's tasks by their types, against a real hub and a real agent on loopback. */
import { createAgent, defineTask, enroll, memoryCredential } from '@downlink/agent'
import { createHub, createOperatorToken } from '@downlink/hub'
import type { StandardSchemaV1 as Schema } from '@standard-schema/spec'
import { expect, test, vi } from 'vitest'
import { createMemoryStore } from '../../hub/src/store/memory-store.ts'
import { createOperatorClient, type OperatorClient } from './index.ts'

/** Takes a text or a number, and makes a number of either. */
const count: Schema<string | number, number> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) =>
      Number.isSafeInteger(Number(value))
        ? { value: Number(value) }
        : { issues: [{ message: 'It is no whole number.' }] },
  },
}

/** Counts to what it was given; `raise` moves that. */
const countTo = defineTask({
  input: count,
  verbs: {
    raise: {
      args: count,
      apply: (by, task) => void raisedBy.set(task.taskId, (raisedBy.get(task.taskId) ?? 0) + by),
    },
  },
  async run(task) {
    while (!raisedBy.has(task.taskId)) {
      await new Promise(setImmediate)
      await task.waitWhilePaused()
    }
    return { total: task.input + (raisedBy.get(task.taskId) ?? 0) }
  },
})
const raisedBy = new Map<string, number>()
const tasks = { countTo }

async function startAll(stack: AsyncDisposableStack): Promise<OperatorClient<typeof tasks>> {
  const store = stack.use(createMemoryStore({}))
  const hub = stack.use(await createHub({ store, heartbeatMs: 100 }))
  const url = await hub.listen({ port: 0 })
  const { token } = await createOperatorToken(store, { name: 'ada', scopes: ['admin'] })
  const client = createOperatorClient<typeof tasks>({ url, token })
  const { key } = await client.createEnrollmentKey()
  const credential = memoryCredential()
  await enroll({ hub: url, enrollmentKey: key, agentId: 'a1', credential })
  const agent = stack.use(createAgent({ hubs: [url], credential, tasks }))
  void agent.run()
  return client
}

test('given the types of its tasks > input, verbs and result arrive as they say', async () => {
  await using stack = new AsyncDisposableStack()
  const client = await startAll(stack)
  const task = await client.start('a1', 'countTo', '40')
  const raised = await task.control('raise', 2, { until: 'applied', timeoutMs: 20_000 })
  expect(raised.outcome, 'the verb must reach the task that runs').toMatchObject({ state: 'applied' })
  const record = await vi.waitFor(
    async () => {
      const read = await task.read()
      expect(read.state, 'the task must complete once it was raised').toBe('completed')
      return read
    },
    { timeout: 20_000 },
  )
  const total: number | undefined = record.result?.total
  expect(total).toBe(42)
  expect(await client.task('a1', task.taskId, 'countTo').read()).toMatchObject({ result: { total: 42 } })
})

test('given what the types cannot know > the agent refuses it and says why', async () => {
  await using stack = new AsyncDisposableStack()
  const client = await startAll(stack)
  const wrong = await client.start('a1', 'countTo', 'forty')
  await vi.waitFor(
    async () => {
      expect(await wrong.read()).toMatchObject({ state: 'failed', errorCode: 'bad_input' })
    },
    { timeout: 20_000 },
  )
  const task = await client.start('a1', 'countTo', 1)
  const raised = await task.control('raise', 'much', { until: 'applied', timeoutMs: 20_000 })
  expect(raised.outcome).toMatchObject({ state: 'failed', code: 'bad_args' })
  await task.cancel({ until: 'observed' })
})
