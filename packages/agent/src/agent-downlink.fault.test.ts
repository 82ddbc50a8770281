/** The whole agent and a real hub, over paths that let not everything through. */
import { createServer, request as sendRequest } from 'node:http'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { limits } from '@downlink/protocol'
import { createTestClock } from './testing/index.ts'
import { Cleanup, RestartableHub, runAgent, until } from '../test/agent-fixture.ts'
import { listen, refusedPort } from '../test/servers.ts'
import { defineTask, type AgentOptions } from './index.ts'

const work = defineTask({
  run: ({ signal }) =>
    new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true })
    }),
})

let cleanup: Cleanup
let hub: RestartableHub
let options: AgentOptions
beforeEach(async () => {
  cleanup = new Cleanup()
  hub = await RestartableHub.start(cleanup)
  options = { ...(await hub.enrolled()), tasks: { work } }
})
afterEach(() => cleanup[Symbol.asyncDispose]())

/** A task is started and cancelled, and each is seen. */
async function controlsGetThrough(): Promise<void> {
  expect((await hub.call('POST', 'agents/a1/tasks', { kind: 'work', taskId: 't1' })).status).toBe(201)
  const control = await hub.control('cancel', 't1', 'observed')
  expect(control.stamps.observed, 'the cancel was never observed').toBeDefined()
}

/** Something between that answers streams with a login page and hands everything else on; returns its URL. */
async function proxyWithoutStreams(): Promise<string> {
  const server = createServer((request, response) => {
    if (request.url?.endsWith('/events') === true) {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<form>')
      return
    }
    const { method, headers } = request
    const onward = sendRequest(new URL(request.url ?? '', hub.url), { method, headers }, (reply) => {
      response.writeHead(reply.statusCode ?? 502, reply.headers)
      reply.pipe(response)
    })
    onward.on('error', () => response.destroy())
    response.on('close', () => onward.destroy())
    request.pipe(onward)
  })
  return `http://${(await listen(server)).host}`
}

test('given streams that grow old (R-19) > the agent comes right back, and nothing counts as a failure', async () => {
  const clock = createTestClock()
  const aging = await RestartableHub.start(cleanup, clock)
  const running = runAgent(cleanup, { ...(await aging.enrolled()), tasks: { work } })
  const { agent } = running
  await until('the agent is connected', () => agent.status().downlink === 'sse')
  clock.advance(limits.STREAM_AGE_MS_DEFAULT)
  await until('its stream is ended', () => agent.status().downlink !== 'sse')
  await until('the agent is back', () => agent.status().downlink === 'sse')
  expect((await aging.call('GET', 'agents/a1')).body.transport).toBe('stream')
  expect(agent.status().path.verdict, 'a planned end says nothing bad of the path').not.toBe('cut')
})

describe('given an agent and its hub', () => {
  test('when no stream gets through > it says so, and controls flow by long-polling', async () => {
    const { agent } = runAgent(cleanup, { ...options, hubs: [await proxyWithoutStreams()] })
    await until('the agent uses long-polling', () => agent.status().downlink === 'long-poll')
    await controlsGetThrough()
    expect(agent.status()).toMatchObject({
      standing: 'ok',
      downlink: 'long-poll',
      path: { verdict: 'login-page', remedy: expect.stringContaining('Sign in') as unknown },
    })
    // Operators see it, too, from the next sync on.
    agent.syncNow()
    await vi.waitFor(async () => {
      const { body } = await hub.call('GET', 'agents/a1')
      expect(body.path).toMatchObject({ verdict: 'login-page' })
    })
  })

  test('when its mode is poll > controls flow by long-polling, without a stream', async () => {
    const { agent } = runAgent(cleanup, { ...options, mode: 'poll' })
    await until('the agent uses long-polling', () => agent.status().downlink === 'long-poll')
    await controlsGetThrough()
    expect((await hub.call('GET', 'agents/a1')).body.connection?.stream ?? null).toBeNull()
  })

  test('when the hub stops and starts again > an agent in the mode poll comes back by itself', async () => {
    const { agent } = runAgent(cleanup, { ...options, mode: 'poll' })
    await until('the agent uses long-polling', () => agent.status().downlink === 'long-poll')
    await hub.stop()
    await until('the agent is cut off', () => agent.status().downlink !== 'long-poll')
    await hub.startAgain()
    await until('the agent is back', () => agent.status().downlink === 'long-poll')
    await controlsGetThrough()
  })

  test('when the first mirror is gone > it goes on at the second one, and says where it is', async () => {
    const gone = `http://127.0.0.1:${await refusedPort()}`
    const { agent } = runAgent(cleanup, { ...options, hubs: [gone, hub.url] })
    await until('the agent is connected', () => agent.status().downlink === 'sse')
    expect(agent.status().hub.origin).toBe(hub.url.origin)
    await controlsGetThrough()
  })
})
