import type { Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { clientOf, failureOf, httpServer, SYNC } from '../../test/servers.ts'

type Answer = 'reply' | 'reset' | 'break off'

/** A server whose connections answer, request by request, as `connections` says, the first connection as stands first. */
async function scripted(...connections: readonly (readonly Answer[])[]) {
  const scripts = new Map<Socket, Answer[]>()
  const server = await httpServer(({ socket }, response) => {
    const script = scripts.get(socket) ?? [...(connections[scripts.size] ?? [])]
    scripts.set(socket, script)
    const answer = script.shift()
    if (answer === 'reply') response.end('{"watching":true,"apiKey":"k"}')
    else if (answer === 'break off') response.write('{', () => socket.resetAndDestroy())
    else socket.resetAndDestroy()
  })
  return { ...server, counters: () => server.asked.map(({ counter }) => counter) }
}

async function clientWithKeptConnection(url: string) {
  const made = clientOf([url])
  await made.client.sync(SYNC)
  // The connection is free again once the event loop has turned.
  await turn()
  return made
}

describe('given a connection that the hub gave up while it was kept', () => {
  test('when the next sync is written to it > it is sent once more over a new one, with a counter of its own', async () => {
    const hub = await scripted(['reply', 'reset'], ['reply'])
    const { client, clock } = await clientWithKeptConnection(hub.url)
    expect(await client.sync(SYNC)).toMatchObject({ watching: true })
    expect([hub.counters(), hub.connections(), clock.pendingTimers]).toEqual([[1, 2, 3], 2, 0])
  })

  test('when the new one breaks as well > the sync fails, after two tries', async () => {
    const hub = await scripted(['reply', 'reset'], ['reset'], ['reply'])
    const { client } = await clientWithKeptConnection(hub.url)
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'connection_lost' })
    expect([hub.counters(), hub.connections()]).toEqual([[1, 2, 3], 2])
  })

  test('when the headers of a reply had come > nothing is sent again', async () => {
    const hub = await scripted(['reply', 'break off'], ['reply'])
    const { client } = await clientWithKeptConnection(hub.url)
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'connection_lost' })
    expect([hub.counters(), hub.connections()]).toEqual([[1, 2], 1])
  })

  test('when a key is exchanged with an id > it is repeated', async () => {
    const hub = await scripted(['reply', 'reset'], ['reply'])
    const { client } = await clientWithKeptConnection(hub.url)
    const request = { authKey: 'dle.key', agentId: 'a1', exchangeId: 'x1' }
    expect(await client.exchangeKey(request)).toEqual({ apiKey: 'k' })
    expect(hub.connections()).toBe(2)
  })

  test('when a key is exchanged without an id > it is not repeated, as that could burn the key', async () => {
    const hub = await scripted(['reply', 'reset'], ['reply'])
    const { client } = await clientWithKeptConnection(hub.url)
    const request = { authKey: 'dle.key', agentId: 'a1' }
    expect(await failureOf(client.exchangeKey(request))).toMatchObject({ code: 'connection_lost' })
    expect(hub.connections()).toBe(1)
  })
})

describe('given a connection that was dialled for the request', () => {
  test('when it breaks > that is the answer, and nothing is sent again', async () => {
    const hub = await scripted(['reset'], ['reply'])
    const { client } = clientOf([hub.url])
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'connection_lost' })
    expect(hub.connections()).toBe(1)
  })
})
