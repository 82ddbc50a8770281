/** Attacks on a hub, bounded and by hand: whoever makes them, a second agent’s controls settle meanwhile. */
import { once } from 'node:events'
import { limits } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { boot, ours, startHub, type AgentFixture, type HubFixture } from '../test/hub-fixture.ts'
import { head, openRawClient, type RawClient } from '../test/raw-client.ts'

const ATTACKERS = 200
const STREAMS = 1_000

let hub: HubFixture
let hostile: AgentFixture
let good: GoodAgent
const clients = new Set<RawClient>()

beforeEach(async () => {
  hub = await startHub()
  hostile = await hub.enroll('hostile')
  good = await goodAgent(await hub.enroll('good'))
})
afterEach(async () => {
  await Promise.all([...clients].map((client) => client[Symbol.asyncDispose]()))
  clients.clear()
  await hub[Symbol.asyncDispose]()
})

interface GoodAgent {
  /** One control, from the operator to the agent and back, over the stream; fails unless it settles as applied. */
  roundTrip(): Promise<void>
}

async function goodAgent(agent: AgentFixture): Promise<GoodAgent> {
  await agent.sync(ours(1))
  const stream = await agent.openStream(boot('boot-1', 2))
  let counter = 2
  return {
    async roundTrip() {
      const taskId = `t${counter}`
      const waiting = hub.operator('POST', '/api/v1/agents/good/controls?wait=30s&until=applied', {
        action: 'pause',
        taskId,
      })
      const text = await stream.until(new RegExp(`"taskId":"${taskId}".*\\n\\n`))
      const data = text
        .split('\n')
        .filter((line) => line.startsWith('data: {"controls"'))
        .at(-1)
      const [control] = (JSON.parse(data?.slice(6) ?? '{}') as { controls: Record<string, unknown>[] })
        .controls
      await agent.sync(
        ours(++counter, {
          outcomes: [
            {
              controlId: control?.controlId,
              epoch: control?.epoch,
              revision: control?.revision,
              state: 'applied',
            },
          ],
        }),
      )
      expect((await waiting).body.outcome).toEqual({ state: 'applied', confirmedBy: 'agent' })
    },
  }
}

async function open(count: number): Promise<readonly RawClient[]> {
  const opened = await Promise.all(Array.from({ length: count }, () => openRawClient(hub.url)))
  for (const client of opened) clients.add(client)
  return opened
}

const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
const events = (headers: Record<string, string> = {}): string =>
  `${head('GET', '/api/internal/agent/events', { ...bearer(hostile.apiKey), ...headers })}\r\n`

describe('given many that are slow', () => {
  test('when their headers, or their bodies, drip in > a second agent’s controls settle', async () => {
    const opened = await open(ATTACKERS)
    opened.forEach((client, n) => {
      if (n % 2 === 0) client.write(head('GET', '/api/internal/agent/events'))
      else {
        const headers = { ...bearer(hostile.apiKey), 'content-length': '1000000' }
        client.write(`${head('POST', '/api/internal/agent/sync', headers)}\r\n{"agentId":`)
      }
    })
    for (let n = 0; n < 5; n++) {
      for (const client of opened) client.write(n % 2 === 0 ? 'x' : ': y\r\n')
      await good.roundTrip()
    }
  })

  test('when they do not read what they asked for > a second agent’s controls settle', async () => {
    const args = { pad: 'x'.repeat(16_000) }
    for (let n = 0; n < 40; n++) {
      const made = await hub.operator('POST', '/api/v1/agents/hostile/controls', {
        action: 'tune',
        taskId: `t${n}`,
        args,
      })
      expect(made.status).toBe(201)
    }
    const opened = await open(20)
    const listing = `${head('GET', '/api/v1/agents/hostile/controls?limit=500', bearer(hub.token))}\r\n`
    for (const client of opened) {
      client.socket.pause()
      // As many as may wait: only one at a time is answered, so that only one reply is held.
      client.write(listing.repeat(limits.PIPELINED_REQUESTS_MAX))
    }
    for (let n = 0; n < 5; n++) await good.roundTrip()
  })

  test('when a stream does not read what is pushed > a second agent’s controls settle', async () => {
    const [reader] = await open(1)
    reader?.write(events(boot('boot-1', 2)))
    await reader?.until(/connected hb/)
    reader?.socket.pause()
    const args = { pad: 'x'.repeat(16_000) }
    for (let n = 0; n < 200; n++) {
      await hub.operator('POST', '/api/v1/agents/hostile/controls', {
        action: 'tune',
        taskId: 't1',
        lane: 'latest',
        args,
      })
    }
    await good.roundTrip()
  })
})

describe('given one agent with a thousand streams', () => {
  test('when it is an original > all but the last of a few are refused, and controls settle', async () => {
    const opened = await open(STREAMS)
    for (const client of opened) client.write(events())
    await good.roundTrip()
    const statuses = await Promise.all(opened.map((client) => client.until(/^HTTP\/1\.1 (\d+)/)))
    const count = (status: number): number =>
      statuses.filter((text) => text.startsWith(`HTTP/1.1 ${status}`)).length
    expect(count(200)).toBe(limits.ORIGINAL_DISPLACEMENTS_MAX + 1)
    expect(count(200) + count(503) + count(429)).toBe(STREAMS)
    await good.roundTrip()
  })

  test('when it is one of ours > the newest stays, the rest end or are refused, and controls settle', async () => {
    const opened = await open(STREAMS)
    opened.forEach((client, n) => client.write(events(boot('boot-1', n + 2))))
    await good.roundTrip()
    const texts = await Promise.all(opened.map((client) => client.until(/^HTTP\/1\.1 (\d+)/)))
    expect(new Set(texts.map((text) => text.slice(9, 12)))).toEqual(new Set(['200', '429']))
    const record = await hub.operator('GET', '/api/v1/agents/hostile')
    expect(record.body.transport).toBe('stream')
    await good.roundTrip()
  })

  test('when its connections are closed > nothing of them stays', async () => {
    const opened = await open(50)
    opened.forEach((client, n) => client.write(events(boot('boot-1', n + 2))))
    await Promise.all(opened.map((client) => client.until(/^HTTP\/1\.1 200/)))
    await Promise.all(opened.map((client) => client[Symbol.asyncDispose]()))
    await expect
      .poll(async () => (await hub.operator('GET', '/api/v1/agents/hostile')).body.transport as string, {
        message: 'the hub still believes in a stream of an agent that has closed all of them',
      })
      .not.toBe('stream')
  })
})

describe('given requests that proxies and hubs could read in two ways', () => {
  const sync = (headers: Record<string, string>): string =>
    head('POST', '/api/internal/agent/sync', { ...bearer(hostile.apiKey), ...headers })
  const inner = 'GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n'

  test('when a length and chunks are given both > it is refused, and what follows is no request', async () => {
    for (const bytes of [
      `${sync({ 'content-length': '6', 'transfer-encoding': 'chunked' })}\r\n0\r\n\r\n${inner}`,
      `${sync({ 'transfer-encoding': 'chunked', 'content-length': '60' })}\r\n0\r\n\r\n${inner}`,
      `${sync({ 'transfer-encoding': 'xchunked' })}\r\n0\r\n\r\n${inner}`,
      `${sync({ 'transfer-encoding': 'chunked, identity' })}\r\n0\r\n\r\n${inner}`,
      `${sync({ 'content-length': '+2' })}\r\n{}${inner}`,
      `${sync({})}content-length: 2\r\ncontent-length: 3\r\n\r\n{}${inner}`,
      `${sync({})}content-length : 2\r\n\r\n{}${inner}`,
      `${sync({ 'content-length': '0' })}\r\n x: y\r\n\r\n${inner}`,
    ]) {
      const [client] = await open(1)
      client?.write(bytes)
      await good.roundTrip()
      await client?.closed
      const text = client?.text ?? ''
      expect(text, bytes).toMatch(/^HTTP\/1\.1 400 /)
      expect(text.match(/HTTP\/1\.1/g), `${bytes}\nmore than one reply: it was read as two`).toHaveLength(1)
    }
  })

  test('when headers have 20 KB, thousands of fields or a bad chunk > refused, and controls settle', async () => {
    const opened = await open(ATTACKERS)
    opened.forEach((client, n) => {
      const bad = [
        `${sync({ pad: 'x'.repeat(20_000) })}\r\n`,
        `${sync({})}${'a: b\r\n'.repeat(2_000)}\r\n`,
        `${sync({ 'transfer-encoding': 'chunked' })}\r\nfffffffffffffffff\r\n`,
        `${sync({ 'transfer-encoding': 'chunked' })}\r\n1;${'x'.repeat(20_000)}\r\n`,
      ]
      client.write(bad[n % bad.length] ?? '')
    })
    await good.roundTrip()
    await Promise.all(opened.map((client) => client.until(/^HTTP\/1\.1 (431|400|413) /)))
  })

  const TOO_LONG = {
    chunks: `1000\r\n${' '.repeat(4_096)}\r\n`.repeat(400),
    trailers: `0\r\n${`x: ${'y'.repeat(900)}\r\n`.repeat(100)}`,
    'a chunk extension': `1;${'x'.repeat(100_000)}`,
  } as const

  test.for(Object.keys(TOO_LONG) as (keyof typeof TOO_LONG)[])(
    'when %s pass their bound > the connection is cut, and controls settle meanwhile',
    async (what) => {
      const opened = await open(10)
      for (const client of opened) {
        client.write(`${sync({ 'transfer-encoding': 'chunked' })}\r\n${TOO_LONG[what]}`)
      }
      await good.roundTrip()
      await Promise.all(opened.map((client) => client.closed))
      await good.roundTrip()
    },
  )

  test('when many requests come on one connection at once > each is answered, or the connection is cut', async () => {
    const opened = await open(50)
    const health = `${head('GET', '/healthz')}\r\n`
    for (const client of opened) client.write(health.repeat(1_000))
    await good.roundTrip()
    await Promise.all(opened.map((client) => client.closed))
  })

  test('when a sender closes its half > the reply still comes, and a stream ends with it', async () => {
    const [asking, streaming] = await open(2)
    asking?.socket.end(`${head('GET', '/healthz')}\r\n`)
    await asking?.until(/200 OK[\s\S]*"ok"/)
    streaming?.socket.end(events(boot('boot-1', 2)))
    await good.roundTrip()
    const [cut] = await open(1)
    const headers = { ...bearer(hostile.apiKey), 'content-length': '100' }
    cut?.socket.end(`${head('POST', '/api/internal/agent/sync', headers)}\r\n{"agent`)
    await cut?.closed
    await good.roundTrip()
  })

  test('when a stream is asked for behind another request > it ends with its connection', async () => {
    const [client] = await open(1)
    if (client === undefined) throw new Error('No client was opened.')
    await hostile.sync(ours(1))
    const wake = head('GET', '/api/internal/agent/wake', { ...bearer(hostile.apiKey), ...boot('boot-1', 2) })
    client.write(`${wake}\r\n${events(boot('boot-1', 3))}`)
    await good.roundTrip()
    client.socket.destroy()
    await once(client.socket, 'close')
    await hub.hub.drain()
  })
})

describe('given two agents', () => {
  test('when one speaks of the other’s controls and tasks > it sees nothing and settles nothing', async () => {
    const task = await hub.operator('POST', '/api/v1/agents/good/tasks', { kind: 'backup', taskId: 'own' })
    expect(task.status).toBe(201)
    const made = await hub.operator('POST', '/api/v1/agents/good/controls', {
      action: 'pause',
      taskId: 'own',
    })
    const { controlId, epoch, revision } = made.body as { controlId: string; epoch: number; revision: number }
    const high = { epoch: limits.REVISION_MAX, revision: limits.REVISION_MAX }
    await using stream = await hostile.openStream(boot('boot-1', 1))
    await stream.until(/hb n=/)

    const reply = await hostile.sync(
      ours(2, {
        received: [controlId],
        outcomes: [
          { controlId, epoch, revision, state: 'applied' },
          { controlId, ...high, state: 'stale', highWater: high, local: true },
        ],
        decisions: [{ decisionId: 'd', taskId: 'own', action: 'cancel', basedOn: high }],
        tasks: [{ taskId: 'own', status: 'completed', progress: 1, updatedAt: 1 }],
      }),
    )
    expect(
      reply.body,
      'even an unknown id is acknowledged: it must say nothing about whose it is',
    ).toMatchObject({
      controls: [],
      newTasks: [],
      acked: [controlId, controlId, 'd'],
    })
    for (const [path, body] of [
      ['sync', { agentId: 'good', tasks: [], freeSlots: 9 }],
      ['register', { agentId: 'good', version: 'evil' }],
      ['deregister', { agentId: 'good' }],
      ['task-control', { agentId: 'good', taskId: 'own', action: 'cancel' }],
    ] as const) {
      const refused = await hostile.call('POST', path, body)
      expect([refused.status, refused.body.error], path).toEqual([403, 'agent_mismatch'])
    }
    await hostile.call('POST', 'status', { agentId: 'good', taskId: 'own', status: 'completed' })
    await hostile.call('POST', 'task-control', { agentId: 'hostile', taskId: 'own', action: 'cancel' })
    for (const path of ['/api/v1/agents', '/api/v1/agents/good/controls', `/api/v1/controls/${controlId}`]) {
      expect((await hostile.call('GET', `../..${path.slice('/api'.length)}`)).status, path).toBe(401)
    }

    const control = (await hub.operator('GET', `/api/v1/controls/${controlId}`)).body
    expect(control.outcome.state).toMatch(/pending|delivered/)
    expect(control.stamps.received).toBeUndefined()
    const { items } = (await hub.operator('GET', '/api/v1/agents/good/tasks')).body
    expect(items).toMatchObject([{ taskId: 'own', state: 'assigned' }])
    expect((await hub.operator('GET', '/api/v1/agents/good')).body).not.toMatchObject({ version: 'evil' })
    expect(stream.text, 'it was told of another agent').not.toMatch(/event: (command|sync)/)
    await good.roundTrip()
  })

  test('when something is made for one > the other’s poll is not answered', async () => {
    await hub[Symbol.asyncDispose]()
    hub = await startHub({ hub: { wakeHoldMs: 200 } })
    hostile = await hub.enroll('hostile')
    const other = await hub.enroll('other')
    await Promise.all([hostile.sync(ours(1)), other.sync(ours(1))])
    const polls = [hostile.wake(boot('boot-1', 2)), other.wake(boot('boot-1', 2))]
    await hub.operator('POST', '/api/v1/agents/other/controls', { action: 'pause', taskId: 't' })
    expect((await Promise.all(polls)).map(({ body }) => body.wake as boolean)).toEqual([false, true])
  })
})
