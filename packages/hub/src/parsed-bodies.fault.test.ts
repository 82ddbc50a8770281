/** The hub behind a server that reads bodies by itself. */
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startHub, type AgentFixture, type HubFixture, type Reply } from '../test/hub-fixture.ts'

let fixture: HubFixture
let agent: AgentFixture

beforeEach(async () => {
  fixture = await startHub()
  agent = await fixture.enroll('a1')
})
afterEach(() => fixture[Symbol.asyncDispose]())

/** Sends JSON to a server that makes something of each body before the hub is given the request. */
async function sendThrough(
  parse: (text: string) => unknown,
  path: string,
  token: string,
  text: string,
): Promise<Reply> {
  const server = createServer((request: IncomingMessage & { body?: unknown }, response) => {
    let read = ''
    request.setEncoding('utf8').on('data', (chunk: string) => (read += chunk))
    request.once('end', () => {
      const body = parse(read)
      if (body !== undefined) request.body = body
      fixture.hub.handler(request, response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const { port } = server.address() as AddressInfo
    const reply = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: text,
    })
    return { status: reply.status, headers: reply.headers, body: await reply.json() }
  } finally {
    server.close()
    server.closeAllConnections()
  }
}

const SYNC = '/api/internal/agent/sync'
const CONTROLS = '/api/v1/agents/a1/controls'
// With spaces and an escape, it is longer than what becomes of it.
const pause = '{ "action": "pause",   "taskId": "t\\u0031" }'
const sync = '{ "agentId": "a1", "tasks": [], "freeSlots": 1 }'

describe('given a server that parses bodies before the hub', () => {
  test.for([
    ['as an object', (text: string): unknown => JSON.parse(text)],
    ['as text', (text: string): unknown => text],
    ['as bytes', (text: string): unknown => Buffer.from(text)],
  ] as const)('when it leaves them in request.body %s > both APIs read them', async ([, parse]) => {
    expect(await sendThrough(parse, CONTROLS, fixture.token, pause)).toMatchObject({
      status: 201,
      body: { action: 'pause', taskId: 't1' },
    })
    expect(await sendThrough(parse, SYNC, agent.apiKey, sync)).toMatchObject({
      status: 200,
      body: { controls: [{ action: 'pause', taskId: 't1' }] },
    })
  })

  test('when it keeps them > 501 names the remedy, and nothing hangs', async () => {
    for (const [path, token, text] of [
      [CONTROLS, fixture.token, pause],
      [SYNC, agent.apiKey, sync],
    ] as const) {
      const reply = await sendThrough(() => undefined, path, token, text)
      expect([reply.status, reply.body.error]).toEqual([501, 'not_supported_here'])
      expect(reply.body.message).toMatch(/before anything that parses bodies/)
    }
  })

  test('when what it leaves is no JSON, too deep or too large > it is refused as if it had been read here', async () => {
    let deep: unknown = 1
    for (let depth = 0; depth < 20_000; depth += 1) deep = [deep]
    const cases = [
      [() => 'no JSON', [400, 'bad_json']],
      [() => deep, [400, 'bad_json']],
      [() => ({ agentId: 'a1', text: 'x'.repeat(1_100_000) }), [413, 'body_too_large']],
    ] as const
    for (const [parse, refused] of cases) {
      for (const [path, token] of [
        [CONTROLS, fixture.token],
        [SYNC, agent.apiKey],
      ] as const) {
        const reply = await sendThrough(parse, path, token, sync)
        expect([reply.status, reply.body.error], `${path} must refuse it`).toEqual(refused)
      }
    }
  })
})
