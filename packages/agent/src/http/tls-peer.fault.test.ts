import { once } from 'node:events'
import { createServer } from 'node:https'
import {
  connect,
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net'
import { constants, randomBytes } from 'node:crypto'
import { createServer as createTlsServer, type TlsOptions, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { createAuthority, type Authority } from '../../test/certificates.ts'
import { clientOf, failureOf, hubAnswer, listen, SYNC } from '../../test/servers.ts'

let authority: Authority
beforeAll(() => {
  authority = createAuthority()
})
afterAll(() => authority[Symbol.dispose]())

const HERE = 'IP:127.0.0.1'

/** A hub that tells of each handshake the name that it was called by, the protocol above it, and whether it went on from an earlier one. */
async function tellingHub(subjectAltName: string, options: TlsOptions = {}) {
  const met: { readonly name: unknown; readonly alpn: unknown; readonly isResumed: boolean }[] = []
  const server = createServer(
    { ...authority.issue(subjectAltName), ALPNProtocols: ['h2', 'http/1.1'], ...options },
    (request, response) => {
      response.setHeader('connection', 'close')
      hubAnswer()(request, response)
    },
  )
  server.on('secureConnection', (socket: TLSSocket) => {
    // The certificate may be any: what is met is what the client offers.
    const { servername: name, alpnProtocol: alpn } = socket as TLSSocket & { servername: unknown }
    met.push({ name, alpn, isResumed: socket.isSessionReused() })
  })
  return { ...(await listen(server)), server, met }
}

/** A proxy whose tunnels all lead to `port`, whatever name they are asked for. */
async function tunnelsTo(port: number, serve: (onSocket: (socket: Socket) => void) => Server) {
  const asked: string[] = []
  const server = serve((socket) => {
    socket.once('data', (head: Buffer) => {
      asked.push(String(head).split('\r\n')[0] ?? '')
      const upstream = connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Made\r\n\r\n')
        socket.pipe(upstream).pipe(socket)
      }).on('error', () => socket.destroy())
      socket.on('error', () => {}).on('close', () => upstream.destroy())
    })
  })
  return { ...(await listen(server)), asked }
}

const trusting = () => ({ tls: { extraCa: authority.ca } })

describe('given a hub that is called by a name', () => {
  test.each([
    ['hub.test', 'hub.test:443'],
    ['hub.test.', 'hub.test.:443'],
    ['HUB.test:8443', 'hub.test:8443'],
  ])('when it is %s > TLS asks for that name and takes only its certificate', async (host, asked) => {
    const hub = await tellingHub('DNS:hub.test')
    const proxy = await tunnelsTo(hub.port, createTcpServer)
    const { client } = clientOf([`https://${host}`], { ...trusting(), proxy: `http://${proxy.host}` })
    await client.sync(SYNC)
    expect(hub.met).toEqual([{ name: 'hub.test', alpn: 'http/1.1', isResumed: false }])
    expect(proxy.asked).toEqual([`CONNECT ${asked} HTTP/1.1`])
  })

  test('when a proxy on https leads to somebody with a certificate for the proxy > it is not taken', async () => {
    const hub = await tellingHub(HERE)
    const proxy = await tunnelsTo(hub.port, (serve) => createTlsServer(authority.issue(HERE), serve))
    const { client } = clientOf(['https://hub.test'], { ...trusting(), proxy: `https://${proxy.host}` })
    const failure = await failureOf(client.sync(SYNC))
    expect(failure).toMatchObject({ code: 'tls_failed' })
    expect((failure as Error).message).toContain('ALTNAME_INVALID')
  })

  test('when the certificate of a proxy is for the hub only > the proxy is asked for nothing', async () => {
    const hub = await tellingHub('DNS:hub.test')
    const proxy = await tunnelsTo(hub.port, (serve) =>
      createTlsServer(authority.issue('DNS:hub.test'), serve),
    )
    const { client } = clientOf(['https://hub.test'], { ...trusting(), proxy: `https://${proxy.host}` })
    expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'proxy_failed' })
    expect([proxy.asked, hub.met]).toEqual([[], []])
  })
})

describe('given a hub that is called by an address', () => {
  test('when it is one of IPv4 > TLS asks for no name, and its certificate must have the address', async () => {
    const hub = await tellingHub(HERE)
    await clientOf([`https://${hub.host}`], trusting()).client.sync(SYNC)
    expect(hub.met).toEqual([{ name: false, alpn: 'http/1.1', isResumed: false }])
    const named = await tellingHub('DNS:127.0.0.1')
    const failing = clientOf([`https://${named.host}`], trusting()).client.sync(SYNC)
    expect(await failureOf(failing)).toMatchObject({ code: 'tls_failed' })
  })

  test.each([
    ['IP:::1', true],
    ['IP:::2', false],
  ])('when it is ::1 and its certificate has %s > it is taken: %s', async (subjectAltName, isTaken) => {
    const server = createServer(authority.issue(subjectAltName), hubAnswer()).listen(0, '::1')
    await once(server, 'listening')
    onTestFinished(() => server.close().closeAllConnections())
    const { port } = server.address() as AddressInfo
    const syncing = clientOf([`https://[::1]:${port}`], trusting()).client.sync(SYNC)
    if (isTaken) await syncing
    else expect(await failureOf(syncing)).toMatchObject({ code: 'tls_failed' })
  })
})

test('given a hub that speaks only another protocol above TLS > the call fails by its name', async () => {
  const hub = await tellingHub(HERE, { ALPNProtocols: ['h2'] })
  const { client } = clientOf([`https://${hub.host}`], trusting())
  expect(await failureOf(client.sync(SYNC))).toMatchObject({ code: 'tls_failed' })
})

describe('given a session of TLS', () => {
  test('when the agent dials the same hub again > it is taken up; another mirror is not offered it', async () => {
    // Either could take up what the other has made.
    const ticketKeys = randomBytes(48)
    const hub = await tellingHub(HERE, { ticketKeys })
    const mirror = await tellingHub(HERE, { ticketKeys })
    const { client } = clientOf([`https://${hub.host}`, `https://${mirror.host}`], trusting())
    for (const isResumed of [false, true]) {
      await client.sync(SYNC)
      expect(hub.met.at(-1)?.isResumed, 'look at where the connector keeps the session').toBe(isResumed)
      await vi.waitUntil(() => hub.sockets.size === 0)
    }
    hub.server.close()
    await client.sync(SYNC)
    await vi.waitUntil(() => mirror.sockets.size === 0)
    expect(mirror.met.map(({ isResumed }) => isResumed)).toEqual([false])
  })

  test('when the hub breaks off whoever brings one > the next dial brings none', async () => {
    const hub = await tellingHub(HERE, {
      maxVersion: 'TLSv1.2',
      secureOptions: constants.SSL_OP_NO_TICKET,
    })
    const made: string[] = []
    let broken = 0
    hub.server.on('newSession', (id: Buffer, _data, done: () => void) => {
      made.push(id.toString('hex'))
      done()
    })
    // Without a session a client makes an id up.
    hub.server.on('resumeSession', (id: Buffer, done: (error: Error | null, session: null) => void) => {
      const isKnown = made.includes(id.toString('hex'))
      if (isKnown) broken += 1
      done(isKnown ? new Error('gone') : null, null)
    })
    const { client } = clientOf([`https://${hub.host}`], trusting())
    await client.sync(SYNC)
    await vi.waitUntil(() => hub.sockets.size === 0)
    await failureOf(client.sync(SYNC))
    await client.sync(SYNC)
    expect([broken, hub.met.length]).toEqual([1, 2])
  })
})
