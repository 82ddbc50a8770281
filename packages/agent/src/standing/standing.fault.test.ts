/** An agent's standing with real hubs and sockets, on a clock in the test's hands: revocation, refusals, copies, new keys. */
import { limits } from '@downlink/protocol'
import type { ServerResponse } from 'node:http'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createTestClock, type TestClock } from '../../../testkit/src/test-clock.ts'
import { Cleanup, RestartableHub, runAgent, until, type RunningAgent } from '../../test/agent-fixture.ts'
import { httpServer } from '../../test/servers.ts'
import { fileCredential, memoryCredential, type AgentOptions, type Credential } from '../index.ts'

let cleanup: Cleanup
let clock: TestClock
beforeEach(() => {
  cleanup = new Cleanup()
  clock = createTestClock()
})
afterEach(() => cleanup[Symbol.asyncDispose]())

const STEP_MS = 1_000

/** Lets the time of both ends pass in small steps, with turns of the event loop between, until it has come to this. */
async function passUntil(what: string, isSo: () => boolean): Promise<void> {
  await vi.waitFor(
    () => {
      if (isSo()) return
      clock.advance(STEP_MS)
      throw new Error(`It never came to this: ${what}.`)
    },
    { timeout: 40_000, interval: 5 },
  )
}

/** Lets at least `ms` pass likewise. */
function pass(ms: number): Promise<void> {
  const untilMs = clock.monotonicMs() + ms
  return passUntil('the clock moves', () => clock.monotonicMs() >= untilMs)
}

function run(options: Pick<AgentOptions, 'hubs' | 'credential'> & Partial<AgentOptions>): RunningAgent {
  return runAgent(cleanup, { agentId: 'a1', ...options, clock, random: () => 0 })
}

/** A server in a hub's place that answers as told. */
async function answering(
  answer: (response: ServerResponse, path: string) => void,
): Promise<{ url: string; asked: () => number }> {
  const { url, asked } = await httpServer((request, response) => answer(response, request.url ?? ''))
  return { url, asked: () => asked.length }
}

function refusing(status: number, body: string): (response: ServerResponse) => void {
  return (response) => void response.writeHead(status).end(body)
}

const KEY = 'dla.key-of-a-test'
const REVOKED = JSON.stringify({ error: 'agent_revoked', message: 'It was revoked.' })

async function keptIn(directory: string): Promise<readonly string[]> {
  return (await readdir(directory)).toSorted()
}

describe('given a hub that revokes a connected agent', () => {
  test('when it has said so twice > the run ends, the task too, and the credential is put aside', async () => {
    const directory = await cleanup.temporaryDirectory()
    const hub = await RestartableHub.start(cleanup, clock)
    const credential = fileCredential(join(directory, 'credential'))
    await credential.write((await (await hub.enrolled()).credential.read()) ?? '')
    const statuses: string[] = []
    const { agent, ended } = run({ hubs: [hub.url], credential })
    agent.on('status', ({ status }) => void statuses.push(`${status.standing} ${status.code ?? ''}`.trim()))
    const task = agent.track('t1')
    await passUntil('the stream is open', () => agent.status().downlink === 'sse')
    await hub.call('DELETE', 'agents/a1')
    await passUntil('the revocation is heard of', () => agent.status().code === 'agent_revoked')
    const heardMs = clock.monotonicMs()
    expect(agent.status()).toMatchObject({
      standing: 'blocked',
      remedy: expect.stringMatching(/asked again/),
    })
    expect(await keptIn(directory), 'one word is not enough').toEqual(['credential'])
    await passUntil('it gives up', () => agent.status().standing === 'revoked')
    expect(clock.monotonicMs() - heardMs).toBeGreaterThanOrEqual(limits.REVOCATION_CONFIRM_MS - STEP_MS)
    clock.advance(0)
    expect(await ended).toEqual({ reason: 'revoked' })
    expect(task.signal.aborted, 'nothing may go on for an agent that was revoked').toBe(true)
    expect(await keptIn(directory)).toEqual([expect.stringMatching(/^credential\.revoked-/)])
    expect(statuses.at(-1)).toBe('revoked agent_revoked')
    const again = run({ hubs: [hub.url], credential })
    await expect(again.ended).rejects.toMatchObject({ code: 'no_credential' })
  })
})

describe('given mirrors that disagree', () => {
  test('when only one says that the agent was revoked > the other is asked, believed, and stayed with', async () => {
    const hub = await RestartableHub.start(cleanup, clock)
    const lapsed = await answering(refusing(410, REVOKED))
    const { credential } = await hub.enrolled()
    const { agent } = run({ hubs: [lapsed.url, hub.url], credential })
    await passUntil('the word is heard', () => agent.status().code === 'agent_revoked')
    await passUntil('the other mirror is used', () => agent.status().downlink === 'sse')
    expect(agent.status()).toMatchObject({ standing: 'ok', hub: new URL(hub.url) })
    const askedBefore = lapsed.asked()
    await pass(5 * 60_000)
    expect(lapsed.asked(), 'home is asked again now and then').toBeGreaterThan(askedBefore)
    expect(agent.status().standing === 'revoked').toBe(false)
    expect(await credential.read(), 'one mirror must not end an agent').toBeDefined()
  })

  test('when the other one is away > nothing is believed until it is back and says the same', async () => {
    const first = await answering(refusing(410, REVOKED))
    let isAway = true
    const second = await answering((response) => {
      if (isAway) response.socket?.destroy()
      else refusing(403, '{"error":"agent_key_mismatch"}')(response)
    })
    const credential = memoryCredential(KEY)
    const { agent, ended } = run({ hubs: [first.url, second.url], credential })
    await passUntil('it is suspected', () => agent.status().code === 'agent_revoked')
    await pass(5 * 60_000)
    expect(agent.status().standing).toBe('blocked')
    isAway = false
    await passUntil('it gives up', () => agent.status().standing === 'revoked')
    expect(await ended).toEqual({ reason: 'revoked' })
    expect(await credential.read()).toBeUndefined()
  })
})

test('given hubs that answer anything but a revocation for minutes > no agent stops or loses its key', async () => {
  const answers: readonly (readonly [number, string])[] = [
    [410, ''],
    [410, '<html><body>agent_revoked</body></html>'],
    [410, '{"error":"gone"}'],
    [410, `{"error":"agent_revoked","message":"${'x'.repeat(limits.ERROR_BODY_BYTES_MAX)}"}`],
    [401, ''],
    [401, REVOKED],
    [401, '{"error":"key_retired"}'],
    [403, ''],
    [500, REVOKED],
    [200, REVOKED],
  ]
  const agents = await Promise.all(
    answers.map(async ([status, body]) => {
      const { url, asked } = await answering(refusing(status, body))
      const credential = memoryCredential(KEY)
      return {
        answer: `${status} ${body.slice(0, 40)}`,
        asked,
        credential,
        ...run({ hubs: [url], credential }),
      }
    }),
  )
  await pass(5 * 60_000)
  for (const { answer, agent, asked, credential } of agents) {
    expect(agent.status().standing, `${answer} must not stop an agent`).not.toBe('revoked')
    expect(await credential.read(), `${answer} must not cost a key`).toBe(KEY)
    expect(asked(), `after ${answer} it must go on asking`).toBeGreaterThan(6)
  }
})

test('given hubs that refuse for what a person must mend > each agent says what, asks each minute, and recovers', async () => {
  const refusals: readonly (readonly [string, number, RegExp])[] = [
    ['agent_hash_taken', 409, /copy/],
    ['agent_version_too_old', 412, /Update/],
    ['agent_limit_reached', 403, /plan/],
    ['unauthorized', 401, /Enroll/],
  ]
  let isRefused = true
  const blocked = await Promise.all(
    refusals.map(async ([code, status, remedy]) => {
      let syncs = 0
      const { url } = await answering((response, path) => {
        if (isRefused && path.endsWith('/sync')) syncs += 1
        if (isRefused) return refusing(status, JSON.stringify({ error: code }))(response)
        if (path.endsWith('/events')) {
          response.writeHead(200, { 'content-type': 'text/event-stream' }).write(': connected hb=15000\n\n')
        } else response.end('{"controls":[],"newTasks":[],"watching":false}')
      })
      const { agent } = run({ hubs: [url], credential: memoryCredential(KEY) })
      return { agent, code, remedy, syncs: () => syncs }
    }),
  )
  await passUntil('all are blocked', () => blocked.every(({ agent, code }) => agent.status().code === code))
  await pass(5 * 60_000)
  for (const { agent, code, remedy, syncs } of blocked) {
    expect(agent.status()).toMatchObject({
      standing: 'blocked',
      remedy: expect.stringMatching(remedy) as string,
    })
    expect(syncs(), `${code} must be asked about again`).toBeGreaterThanOrEqual(4)
    expect(syncs(), `${code} is nothing to hurry for`).toBeLessThanOrEqual(9)
  }
  isRefused = false
  await passUntil('all are well', () => blocked.every(({ agent }) => agent.status().standing === 'ok'))
  for (const { agent } of blocked) expect(agent.status().remedy).toBeUndefined()
})

describe('given two agents with one identity', () => {
  test('when both go on > the newer works, the older says what to do, and goes on once the newer is gone', async () => {
    const hub = await RestartableHub.start(cleanup, clock)
    const { credential } = await hub.enrolled()
    const older = run({ hubs: [hub.url], credential })
    await passUntil('the older is connected', () => older.agent.status().downlink === 'sse')
    const newer = run({ hubs: [hub.url], credential })
    await passUntil('the older is told', () => older.agent.status().code === 'agent_hash_taken')
    expect(older.agent.status()).toMatchObject({ standing: 'blocked', remedy: expect.stringMatching(/copy/) })
    await pass(5 * 60_000)
    expect(newer.agent.status(), 'copies must not kick each other out').toMatchObject({
      standing: 'ok',
      downlink: 'sse',
    })
    expect((await hub.call('GET', 'agents/a1')).body.status).toBe('cloned')
    await newer.stop()
    await passUntil('the older goes on', () => older.agent.status().downlink === 'sse')
    expect(older.agent.status().standing).toBe('ok')
  })
})

describe('given an operator who wants another key', () => {
  let hub: RestartableHub
  let directory: string
  let file: string
  beforeEach(async () => {
    hub = await RestartableHub.start(cleanup, clock)
    directory = await cleanup.temporaryDirectory()
    file = join(directory, 'credential')
    await fileCredential(file).write((await (await hub.enrolled()).credential.read()) ?? '')
  })

  const rotated = async (): Promise<boolean> =>
    (await hub.call('GET', 'agents/a1')).body.keyRotation === undefined

  test('when the agent is connected > it is in use at once, kept, and the old one is refused', async () => {
    const before = await readFile(file, 'utf8')
    const { agent, logged } = run({ hubs: [hub.url], credential: fileCredential(file) })
    await passUntil('it is connected', () => agent.status().downlink === 'sse')
    const standings: string[] = []
    agent.on('status', ({ status }) => void standings.push(status.standing))
    expect((await hub.call('POST', 'agents/a1/rotate-key')).status).toBe(200)
    await vi.waitFor(async () => {
      clock.advance(STEP_MS)
      expect(await rotated(), 'the new key is never used').toBe(true)
    })
    const after = await readFile(file, 'utf8')
    expect(after).not.toBe(before)
    expect(await keptIn(directory)).toEqual(['credential'])
    await passUntil('it is connected again', () => agent.status().downlink === 'sse')
    expect(new Set(standings), 'nothing is refused on the way').toEqual(new Set(['ok']))
    const old = await fetch(new URL('/api/internal/agent/wake', hub.url), {
      headers: { authorization: `Bearer ${before.trim()}` },
    })
    expect([old.status, ((await old.json()) as { error: string }).error]).toEqual([401, 'key_retired'])
    expect(JSON.stringify(logged), 'no key in the log').not.toMatch(/dla\./)
  })

  test.each(['before it is kept', 'after it is kept'] as const)(
    'when the agent dies %s > the next start goes on with what it finds, and the rotation is done',
    async (when) => {
      const died = Promise.withResolvers<void>()
      const dying: Credential = {
        ...fileCredential(file),
        async write(key) {
          if (when === 'after it is kept') await fileCredential(file).write(key)
          died.resolve()
          // What a dead process does: nothing any more.
          await new Promise(() => {})
        },
      }
      // Not stopped, as a dead agent is not: its hub and its clock end with the test.
      const abandoned = runAgent(new Cleanup(), {
        hubs: [hub.url],
        credential: dying,
        agentId: 'a1',
        clock: createTestClock(),
        random: () => 0,
      })
      await until('the first life is connected', () => abandoned.agent.status().downlink === 'sse')
      await hub.call('POST', 'agents/a1/rotate-key')
      await died.promise
      const { agent } = run({ hubs: [hub.url], credential: fileCredential(file) })
      await passUntil('the second life is connected', () => agent.status().downlink === 'sse')
      await vi.waitFor(async () => {
        clock.advance(STEP_MS)
        expect(await rotated(), 'the new key is never used').toBe(true)
      })
      expect(agent.status().standing).toBe('ok')
    },
  )

  test('when the new key cannot be kept > the old one stays in use, and it is tried again after a minute', async () => {
    let isFull = true
    let writes = 0
    const onDisk = fileCredential(file)
    const credential: Credential = {
      ...onDisk,
      write(key) {
        writes += 1
        return isFull ? Promise.reject(new Error('ENOSPC: no space left on device')) : onDisk.write(key)
      },
    }
    const { agent, logged } = run({ hubs: [hub.url], credential })
    await passUntil('it is connected', () => agent.status().downlink === 'sse')
    await hub.call('POST', 'agents/a1/rotate-key')
    await passUntil('it was tried', () => writes === 1)
    await pass(50_000)
    expect([writes, agent.status().standing]).toEqual([1, 'ok'])
    expect(JSON.stringify(logged)).toContain('the one in use stays valid')
    isFull = false
    await passUntil('it is tried again', () => writes === 2)
    await vi.waitFor(async () => expect(await rotated()).toBe(true))
  })

  test('when the key was replaced on disk by an enrollment > a blocked agent takes that up by itself', async () => {
    const { agent } = run({ hubs: [hub.url], credential: fileCredential(file) })
    await passUntil('it is connected', () => agent.status().downlink === 'sse')
    const { body } = await hub.call('POST', 'enrollment-keys', { agentId: 'a1' })
    const enrolled = await fetch(new URL('/api/internal/agent/authkey/exchange', hub.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ authKey: body.key as string, agentId: 'a1' }),
    })
    await passUntil('the old key is refused', () => agent.status().code === 'key_retired')
    const { apiKey } = (await enrolled.json()) as { apiKey: string }
    await writeFile(file, apiKey)
    await passUntil('it is well again', () => agent.status().standing === 'ok')
  })
})
