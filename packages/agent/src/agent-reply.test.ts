/** What a reply sets in motion that no hub in memory says, against a server whose replies are scripted. */
import type { Json } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { createAgent, memoryCredential, type AgentTransport, type Logger } from './index.ts'
import { createTestClock, passTime } from './testing/index.ts'

/** Keys of another server, which nothing but their text tells from other words. */
const FIRST = 'opaque-first-key'
const NEXT = 'opaque-next-key'

/** Answers by the last part of the path; whatever is not named is not available. */
function replying(replies: Readonly<Record<string, Json>>): AgentTransport {
  const headers = { 'content-type': 'application/json' }
  return {
    request({ path }) {
      const reply = replies[path.split('/').at(-1) ?? '']
      const status = reply === undefined ? 503 : 200
      return Promise.resolve({ status, headers, body: JSON.stringify(reply ?? {}) })
    },
  }
}

const SYNC = { controls: [], newTasks: [], watching: false, acked: [] }
const BASE = { hubs: ['https://hub.test'], agentId: 'a1', onControl: () => undefined }

test('given keys of any server, and a disk whose errors name them > no line of the log holds one', async () => {
  const clock = createTestClock()
  const lines: string[] = []
  const write = (fields: object, message: string): void => {
    const { error } = fields as { error?: Error }
    lines.push(`${message} ${error?.message ?? ''} ${error?.stack ?? ''}`)
  }
  const logger: Logger = { debug: write, info: write, warn: write, error: write }
  const agent = createAgent({
    ...BASE,
    credential: {
      read: () => Promise.resolve(FIRST),
      write: (key) => Promise.reject(new Error(`cannot put ${key} in the place of ${FIRST}`)),
      wipe: () => Promise.resolve(),
    },
    clock,
    transport: replying({ sync: { ...SYNC, rotateKey: true }, register: { agentKey: NEXT } }),
    logger,
  })
  void agent.run()
  await passTime(clock, 1_000)
  await agent[Symbol.asyncDispose]()
  const shown = lines.join('\n')
  expect(shown).toContain('cannot put [credential] in the place of [credential]')
  expect(shown).not.toContain(FIRST)
  expect(shown).not.toContain(NEXT)
})

test('given a server that wants a newer version > the application is told which', async () => {
  const clock = createTestClock()
  const transport = replying({ sync: { ...SYNC, upgrade: { version: '9.9' } } })
  const agent = createAgent({ ...BASE, credential: memoryCredential(FIRST), clock, transport })
  const versions: string[] = []
  agent.on('upgrade', ({ version }) => void versions.push(version))
  void agent.run()
  await passTime(clock, 1_000)
  await agent[Symbol.asyncDispose]()
  expect(versions).toContain('9.9')
})
