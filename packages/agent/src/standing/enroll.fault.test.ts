/** Enrollment against a real hub behind something that loses replies, and against refusals. */
import { limits, type Json } from '@downlink/protocol'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import { Cleanup, RestartableHub } from '../../test/agent-fixture.ts'
import { httpServer, listen, refusedPort } from '../../test/servers.ts'
import {
  createAgentClient,
  createBoot,
  enroll,
  fileCredential,
  memoryCredential,
  type Credential,
} from '../index.ts'

let cleanup: Cleanup
let hub: RestartableHub
let clock: TestClock
beforeEach(async () => {
  cleanup = new Cleanup()
  hub = await RestartableHub.start(cleanup)
  clock = createTestClock()
})
afterEach(() => cleanup[Symbol.asyncDispose]())

async function enrollmentKey(body: Json = {}): Promise<string> {
  return (await hub.call('POST', 'enrollment-keys', body)).body.key as string
}

/** Stands before the hub and loses so many replies, after the hub has acted. */
async function losing(count: number): Promise<{ readonly url: string; readonly acted: () => number }> {
  let acted = 0
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request)
    const headers = { 'content-type': 'application/json' }
    const reply = await fetch(new URL(request.url ?? '', hub.url), { method: 'POST', headers, body })
    const said = await reply.text()
    acted += 1
    if (acted <= count) request.socket.destroy()
    else response.writeHead(reply.status, headers).end(said)
  }
  const { host } = await listen(createServer((request, response) => void answer(request, response)))
  return { url: `http://${host}`, acted: () => acted }
}

/** Ends every wait of the backoff, which are of no length here, until `work` has ended. */
async function passing<T>(work: Promise<T>): Promise<T> {
  let isOver = false
  const over = (): void => void (isOver = true)
  work.then(over, over)
  await vi.waitFor(
    () => {
      if (clock.nextTimerMs === 0) clock.advance(0)
      if (!isOver) throw new Error('The enrollment does not end.')
    },
    { timeout: 20_000, interval: 5 },
  )
  return work
}

function enrolling(
  url: string | URL | readonly string[],
  authKey: string,
  credential: Credential,
): Promise<void> {
  return passing(
    enroll({ hub: url, enrollmentKey: authKey, agentId: 'a1', credential, clock, random: () => 0 }),
  )
}

async function isAccepted(credential: Credential): Promise<boolean> {
  const key = await credential.read()
  const client = createAgentClient({
    hubs: [hub.url],
    credential: () => key,
    boot: createBoot((size) => new Uint8Array(size)),
    clock,
  })
  try {
    await client.register({ agentId: 'a1' })
    return true
  } finally {
    await client.close()
  }
}

describe('given a single-use key', () => {
  test('when replies are lost > the exchange is repeated, and what was minted last is kept and works', async () => {
    const { url, acted } = await losing(3)
    const credential = memoryCredential()
    await enrolling(url, await enrollmentKey(), credential)
    expect(acted()).toBe(4)
    expect(await isAccepted(credential)).toBe(true)
  })

  test('when the process dies before the key is kept > the next start repeats the same exchange', async () => {
    const directory = await cleanup.temporaryDirectory()
    const file = fileCredential(join(directory, 'credential'))
    const authKey = await enrollmentKey()
    const dying: Credential = { ...file, write: () => Promise.reject(new Error('The process died here.')) }
    await expect(enrolling(hub.url, authKey, dying)).rejects.toThrow('died here')
    expect(await readdir(directory)).toEqual(['credential.exchange'])
    await enrolling(hub.url, authKey, file)
    expect(await readdir(directory), 'nothing is under way any more').toEqual(['credential'])
    expect(await isAccepted(file)).toBe(true)
  })

  test('when it is refused for good > that is said at once, and no exchange is left under way', async () => {
    const directory = await cleanup.temporaryDirectory()
    const credential = fileCredential(join(directory, 'credential'))
    const used = await enrollmentKey()
    await enrolling(hub.url, used, memoryCredential())
    const revoked = await hub.call('POST', 'enrollment-keys', {})
    await hub.call('DELETE', `enrollment-keys/${revoked.body.id as string}`)
    for (const [authKey, code, remedy] of [
      [used, 'used', /Ask for a new one/],
      [`${used}x`, 'invalid', /copied whole/],
      [revoked.body.key as string, 'revoked', /Ask for a new one/],
      [await enrollmentKey({ uses: 5 }), 'agent_exists', /Choose another id/],
      [await enrollmentKey({ agentId: 'other' }), 'agent_mismatch', /Ask for one for this agent/],
    ] as const) {
      await expect(enrolling(hub.url, authKey, credential)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(remedy) as string,
      })
      expect(await readdir(directory)).toEqual([])
    }
  })
})

test('given a hub that does not answer at all > that is said at once: nothing was lost', async () => {
  const url = `http://127.0.0.1:${await refusedPort()}`
  await expect(enrolling(url, await enrollmentKey(), memoryCredential())).rejects.toMatchObject({
    code: 'connect_failed',
  })
})

test('given mirrors of which the first is away > the next one is asked', async () => {
  const credential = memoryCredential()
  await enrolling(
    [`http://127.0.0.1:${await refusedPort()}`, hub.url.href],
    await enrollmentKey(),
    credential,
  )
  expect(await isAccepted(credential)).toBe(true)
})

const WAITS_MS: ReadonlySet<number> = new Set([250, 500, 1_000, 2_000, 4_000, 8_000, 16_000])

test('given a hub that stays unavailable > it is asked for a minute, and then that is said', async () => {
  const { url, asked } = await httpServer((_, response) => void response.writeHead(503).end())
  const work = enroll({
    hub: url,
    enrollmentKey: await enrollmentKey(),
    agentId: 'a1',
    credential: memoryCredential(),
    clock,
    random: () => 0.5,
  })
  work.catch(() => undefined)
  await vi.waitFor(
    async () => {
      // Only over the waits of the backoff: no request may run out of its time.
      if (clock.pendingTimers === 1 && WAITS_MS.has(clock.nextTimerMs ?? 0))
        clock.advance(clock.nextTimerMs ?? 0)
      await expect(Promise.race([work, Promise.resolve()]), 'it must end').rejects.toMatchObject({
        status: 503,
      })
    },
    { timeout: 20_000, interval: 5 },
  )
  expect(asked.length).toBeGreaterThan(4)
  expect(clock.monotonicMs()).toBeLessThanOrEqual(limits.ENROLL_PATIENCE_MS)
})
