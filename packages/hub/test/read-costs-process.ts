/** Tells what a fleet that connects leaves among V8's old objects by its reads, in bytes an agent, once all code is compiled. */
import { setImmediate as turn } from 'node:timers/promises'
import { getHeapSpaceStatistics } from 'node:v8'
import { createMemoryStore } from '../src/index.ts'

/** More than the cache holds with two documents each, as of a fleet that comes back. */
const AGENTS = 3_000
/** That connect at once. */
const TOGETHER = 50
/** Enough that the engine knows what lives long, and has compiled for it. */
const ROUNDS_BEFORE = 10

const store = createMemoryStore()
for (let n = 0; n < AGENTS; n++) {
  const document = { agentId: `a${n}`, keys: [{ keyId: 'key', hash: 'x'.repeat(64) }] }
  await store.update('agents', `a${n}`, () => ({ document, result: undefined }))
}
for (let round = 0; round < ROUNDS_BEFORE; round++) await connectAll()
globalThis.gc?.()
const before = oldBytes()
await connectAll()
process.send?.((oldBytes() - before) / AGENTS)

async function connectAll(): Promise<void> {
  for (let first = 0; first < AGENTS; first += TOGETHER) {
    await Promise.all(Array.from({ length: TOGETHER }, (_, n) => connect(`a${first + n}`)))
    await turn()
  }
}

/** As the route of streams reads: each document once before the stream is attached, and once after. */
async function connect(agentId: string): Promise<void> {
  await store.read('agents', agentId)
  await store.read('mailboxes', agentId)
  await Promise.all([store.read('mailboxes', agentId), store.read('agents', agentId)])
}

function oldBytes(): number {
  return (
    getHeapSpaceStatistics().find((space) => space.space_name === 'old_space')?.space_used_size ?? Number.NaN
  )
}
