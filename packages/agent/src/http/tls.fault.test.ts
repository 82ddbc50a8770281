import { limits } from '@downlink/protocol'
import { createServer, type ServerOptions } from 'node:https'
import { getCACertificates, setDefaultCACertificates, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createAuthority, type Authority } from '../../test/certificates.ts'
import { clientOf, failureOf, hubAnswer, listen, passTimer, SYNC, tcpServer } from '../../test/servers.ts'
import { openEventStream } from '../stream/event-stream.ts'

let authority: Authority
let stranger: Authority
beforeAll(() => {
  authority = createAuthority()
  stranger = createAuthority()
})
afterAll(() => {
  authority[Symbol.dispose]()
  stranger[Symbol.dispose]()
})

/** A hub on https, what it was asked, and by whom. */
async function httpsHub(options: ServerOptions) {
  const asked: { readonly path: string | undefined; readonly clientName: string | undefined }[] = []
  const server = createServer(options, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate()
    asked.push({ path: request.url?.split('/').at(-1), clientName: subject?.CN as string | undefined })
    hubAnswer()(request, response)
  })
  const listening = await listen(server)
  return { ...listening, url: `https://${listening.host}`, asked }
}

const HERE = 'IP:127.0.0.1'

/** Hubs whose certificate is no good, by what is wrong with it, and what the error names. */
const BROKEN: readonly (readonly [string, () => ServerOptions, string])[] = [
  ['has expired', () => authority.issue(HERE, -1), 'CERT_HAS_EXPIRED'],
  ['is for another host', () => authority.issue('DNS:other.example'), 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ['is from an unknown authority', () => stranger.issue(HERE), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
]

describe('given a hub whose certificate the agent trusts', () => {
  test('when an authority is added > those of the machine are trusted as before', async () => {
    const ofMachine = getCACertificates('default')
    setDefaultCACertificates([...ofMachine, stranger.ca])
    onTestFinished(() => setDefaultCACertificates(ofMachine))
    const hub = await httpsHub(stranger.issue(HERE))
    const { client } = clientOf([hub.url], { tls: { extraCa: authority.ca } })
    await client.sync(SYNC)
    expect(hub.asked).toHaveLength(1)
  })

  test('when it syncs and opens a stream > both work, also by a client certificate', async () => {
    const hub = await httpsHub({
      ...authority.issue(HERE),
      ca: authority.ca,
      requestCert: true,
      rejectUnauthorized: true,
    })
    const { client } = clientOf([hub.url], {
      tls: { extraCa: authority.ca, ...authority.issue('DNS:agent') },
    })
    await client.sync(SYNC)
    await using stream = await openEventStream(client)
    expect(stream.url.href).toBe(`${hub.url}/api/internal/agent/events`)
    expect(hub.asked).toEqual([
      { path: 'sync', clientName: 'issued' },
      { path: 'events', clientName: 'issued' },
    ])
  })

  test('when the authority was not named > it is not trusted', async () => {
    const hub = await httpsHub(authority.issue(HERE))
    const { client } = clientOf([hub.url])
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'tls_failed' })
    expect(hub.asked).toEqual([])
  })
})

describe.each(BROKEN)('given a hub whose certificate %s', (_, options, systemCode) => {
  test('when the agent calls it > nothing is sent, and the error says so', async () => {
    const hub = await httpsHub(options())
    const { client, clock } = clientOf([hub.url], { tls: { extraCa: authority.ca } })
    for (const call of [client.sync(SYNC), openEventStream(client)]) {
      const failure = await failureOf(call)
      expect(failure).toMatchObject({ code: 'tls_failed', retry: 'backoff' })
      expect((failure as Error).message).toContain(systemCode)
    }
    expect(hub.asked).toEqual([])
    expect(clock.pendingTimers, 'timers left behind').toBe(0)
  })

  test('when it has a mirror > calls and streams go there', async () => {
    const hub = await httpsHub(options())
    const mirror = await httpsHub(authority.issue(HERE))
    const first = clientOf([hub.url, mirror.url], { tls: { extraCa: authority.ca } })
    await first.client.sync(SYNC)
    const second = clientOf([hub.url, mirror.url], { tls: { extraCa: authority.ca } })
    await using stream = await openEventStream(second.client)
    expect(stream.url.origin).toBe(mirror.url)
    expect([hub.asked.length, mirror.asked.map(({ path }) => path)]).toEqual([0, ['sync', 'events']])
  })
})

test('given a mirror whose handshake is cut > the next one is asked', async () => {
  const cut = await tcpServer((socket) => socket.once('data', () => socket.resetAndDestroy()))
  const mirror = await httpsHub(authority.issue(HERE))
  const { client } = clientOf([cut.url.replace('http:', 'https:'), mirror.url], {
    tls: { extraCa: authority.ca },
  })
  await client.sync(SYNC)
  expect(mirror.asked).toHaveLength(1)
})

test('given a mirror whose handshake is never answered > that is said, and the next one is asked', async () => {
  const silent = await tcpServer(() => {})
  const mirror = await httpsHub(authority.issue(HERE))
  const silentUrl = silent.url.replace('http:', 'https:')
  const alone = clientOf([silentUrl])
  const failing = failureOf(alone.client.sync(SYNC))
  await vi.waitUntil(() => silent.connections() === 1)
  await passTimer(alone.clock, limits.CONNECT_MS_MAX)
  const failure = await failing
  expect(failure).toMatchObject({ code: 'tls_failed', retry: 'backoff' })
  expect((failure as Error).message).toContain('handshake was not answered')
  const both = clientOf([silentUrl, mirror.url], { tls: { extraCa: authority.ca } })
  const syncing = both.client.sync(SYNC)
  await vi.waitUntil(() => silent.connections() === 2)
  await passTimer(both.clock, limits.CONNECT_MS_MAX)
  await syncing
  expect(mirror.asked).toHaveLength(1)
})

test('given a stream over TLS whose chunks are padded > its raw bytes are bounded all the same', async () => {
  const hub = await listen(
    createServer(authority.issue(HERE), (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      const socket = response.socket
      const padding = `1;${'x'.repeat(8_000)}\r\n:\r\n`
      const write = (): void => {
        if (socket?.destroyed === false) socket.write(padding.repeat(8), () => setImmediate(write))
      }
      write()
    }),
  )
  const { client } = clientOf([`https://${hub.host}`], { tls: { extraCa: authority.ca } })
  const stream = await openEventStream(client)
  const end = await stream.closed
  expect(end).toMatchObject({ reason: 'lost', error: { code: 'raw_bytes_exceeded' } })
  expect(limits.RAW_BYTES_WITHOUT_FRAME_MAX).toBeGreaterThan(limits.SSE_BLOCK_BYTES_MAX)
})
