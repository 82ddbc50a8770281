/** nginx as Debian ships it between an agent and its hub: held back, straight through, over TLS, started again, refusing. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority, type Authority } from '../packages/agent/test/certificates.ts'
import { markOnce } from './mark-once.ts'
import { tellMeasured } from './measured.ts'
import { startNetworkAgent, type NetworkAgent, type NetworkAgentConfig } from './network-agent.ts'
import { startNetworkHub, type NetworkHub } from './network-hub.ts'
import { startNginx, type Nginx, type NginxSite } from './nginx-process.ts'
import { freePorts } from './server-process.ts'

let folder: string
let hub: NetworkHub
let hubUrl: string
let authority: Authority

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-nginx-'))
  authority = createAuthority()
  writeFileSync(join(folder, 'ca.pem'), authority.ca)
  hub = await startNetworkHub({ folder: join(folder, 'hub'), heartbeat: '1s' })
  hubUrl = `http://127.0.0.1:${hub.port}`
})

afterAll(async () => {
  await hub[Symbol.asyncDispose]()
  authority[Symbol.dispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** An nginx before the hub, listening on `port`. */
async function nginxAt(
  parts: AsyncDisposableStack,
  name: string,
  site: (port: number) => NginxSite,
): Promise<{ nginx: Nginx; port: number }> {
  const [port = 0, probePort = 0] = await freePorts(2)
  return { nginx: parts.use(await startNginx(join(folder, name), probePort, site(port))), port }
}

async function agentOf(
  parts: AsyncDisposableStack,
  agentId: string,
  config: Omit<NetworkAgentConfig, 'stateDirectory'>,
): Promise<NetworkAgent> {
  const state = { stateDirectory: join(folder, `state-${agentId}`) }
  return parts.use(startNetworkAgent({ ...state, ...config }, await hub.enroll(agentId)))
}

/** A URL where nobody listens, or somebody who never says a word. */
async function listener(parts: AsyncDisposableStack, kind: 'refuses' | 'is silent'): Promise<string> {
  if (kind === 'refuses') return `http://127.0.0.1:${(await freePorts(1))[0]}`
  const sockets = new Set<Socket>()
  const server = createServer((socket) => sockets.add(socket.on('error', () => {}))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  parts.defer(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const plain = (port: number, location = ''): NginxSite => ({
  server: `listen 127.0.0.1:${port};`,
  upstream: hubUrl,
  location,
})

describe.concurrent('given nginx before the hub', () => {
  test('when it holds back even the headers > long-polling brings controls, and the stream comes back by itself', async () => {
    await using parts = new AsyncDisposableStack()
    const { nginx, port } = await nginxAt(parts, 'buffering', (at) =>
      plain(at, 'proxy_ignore_headers X-Accel-Buffering;'),
    )
    const agent = await agentOf(parts, 'buffered', { hubs: [`http://127.0.0.1:${port}`] })
    const startedMs = await agent.reaches('offline')
    const timerMs = await agent.reaches('timer')
    const bySyncMs = await markOnce(hub, agent, 'buffered', 't-early')
    const pollMs = await agent.reaches('long-poll')
    expect((await agent.names('silent')).remedy, 'say what to do about it').toMatch(/buffer/)
    const firstMs = await markOnce(hub, agent, 'buffered', 't-poll-1')
    const secondMs = await markOnce(hub, agent, 'buffered', 't-poll-2')
    expect(agent.status()?.downlink, 'no stream may count before it is let through').toBe('long-poll')
    const reloadedMs = Date.now()
    await nginx.reload(plain(port, 'proxy_ignore_headers X-Accel-Buffering; proxy_buffering off;'))
    const streamMs = await agent.reaches('sse', reloadedMs)
    const pushedMs = await markOnce(hub, agent, 'buffered', 't-stream')
    tellMeasured('nginx that holds the headers back', {
      'first sync after': timerMs - startedMs,
      'a control by sync': bySyncMs,
      'silence found after': pollMs - startedMs,
      'first control by long-poll': firstMs,
      'second control by long-poll': secondMs,
      'back on the stream after the reload': streamMs - reloadedMs,
      'a control by the stream': pushedMs,
    })
  })

  test('when its defaults are as shipped > the stream goes straight through', async () => {
    await using parts = new AsyncDisposableStack()
    const { port } = await nginxAt(parts, 'shipped', plain)
    const agent = await agentOf(parts, 'shipped', { hubs: [`http://127.0.0.1:${port}`] })
    const startedMs = await agent.reaches('offline')
    const streamMs = await agent.reaches('sse')
    const pushedMs = await markOnce(hub, agent, 'shipped', 't1')
    tellMeasured('nginx as shipped', { 'stream after': streamMs - startedMs, 'a control by it': pushedMs })
  })

  test('when it speaks TLS and HTTP/2 > the stream goes through, over HTTP/1.1', async () => {
    await using parts = new AsyncDisposableStack()
    const { cert, key } = authority.issue('IP:127.0.0.1')
    writeFileSync(join(folder, 'front.pem'), cert)
    writeFileSync(join(folder, 'front.key'), key)
    const { port } = await nginxAt(parts, 'http2', (at) => ({
      ...plain(at),
      server: `listen 127.0.0.1:${at} ssl http2; ssl_certificate ${folder}/front.pem; ssl_certificate_key ${folder}/front.key;`,
    }))
    const agent = await agentOf(parts, 'http2', {
      hubs: [`https://127.0.0.1:${port}`],
      caFile: join(folder, 'ca.pem'),
    })
    await agent.reaches('sse')
    tellMeasured('nginx with TLS and HTTP/2', { 'a control': await markOnce(hub, agent, 'http2', 't1') })
    expect(readFileSync(join(folder, 'http2', 'access.log'), 'utf8')).toMatch(
      /POST \S+\/sync HTTP\/1\.1" 200/,
    )
  })

  test('when it is ended and started again > the agent comes back, and what was issued meanwhile is applied once', async () => {
    await using parts = new AsyncDisposableStack()
    const { nginx, port } = await nginxAt(parts, 'restarted', plain)
    const agent = await agentOf(parts, 'restarted', { hubs: [`http://127.0.0.1:${port}`] })
    await agent.reaches('sse')
    const endedMs = Date.now()
    await nginx.stop()
    const offlineMs = await agent.leavesStream(endedMs)
    const controlId = await hub.mark('restarted', 't1')
    const [probePort = 0] = await freePorts(1)
    parts.use(await startNginx(join(folder, 'restarted'), probePort, plain(port)))
    const startedMs = Date.now()
    const streamMs = await agent.reaches('sse', startedMs)
    await hub.applied(controlId)
    expect(agent.timesApplied('mark t1'), 'apply each control once').toBe(1)
    tellMeasured('nginx started again', {
      'found after': offlineMs - endedMs,
      'back on the stream after': streamMs - startedMs,
    })
  })

  test('when it takes no body of a sync > controls are applied by push, and reported once it does', async () => {
    await using parts = new AsyncDisposableStack()
    const { nginx, port } = await nginxAt(parts, 'small', plain)
    const agent = await agentOf(parts, 'small', { hubs: [`http://127.0.0.1:${port}`] })
    await agent.reaches('sse')
    await markOnce(hub, agent, 'small', 't1')
    await nginx.reload(plain(port, 'client_max_body_size 16;'))
    const controlId = await hub.mark('small', 't2')
    await agent.applies('mark t2')
    const { error } = await agent.until('a sync is refused', (lines) =>
      lines.find((said) => said.error?.includes('413')),
    )
    expect(error, 'say where it was refused').toMatch(/sync at 127\.0\.0\.1:\d+ was answered 413/)
    const { remedy } = await agent.until(
      'its status says so',
      (lines) => lines.find(({ status }) => status?.standing === 'blocked')?.status,
    )
    expect(remedy).toMatch(/client_max_body_size/)
    const reloadedMs = Date.now()
    await nginx.reload(plain(port))
    await hub.applied(controlId)
    await agent.until('its status is good again', () => agent.status()?.standing === 'ok')
    const reportedMs = Date.now()
    expect(agent.timesApplied('mark t2'), 'apply each control once').toBe(1)
    tellMeasured('nginx with client_max_body_size', {
      'reported after it was raised': reportedMs - reloadedMs,
    })
  })

  test.for([
    ['dead', '502', 'refuses', ''],
    ['silent', '504', 'is silent', 'proxy_read_timeout 1s;'],
  ] as const)(
    'when what is behind it is %s (%s) > the agent goes to the mirror, and stays there',
    async ([name, , upstream, location]) => {
      await using parts = new AsyncDisposableStack()
      const behind = await listener(parts, upstream)
      const { port } = await nginxAt(parts, name, (at) => ({ ...plain(at, location), upstream: behind }))
      const agent = await agentOf(parts, name, { hubs: [`http://127.0.0.1:${port}`, hubUrl] })
      const startedMs = await agent.reaches('offline')
      const streamMs = await agent.reaches('sse')
      expect(agent.status()?.hub).toBe(hubUrl)
      tellMeasured(`nginx before a ${name} hub`, {
        'stream by the mirror after': streamMs - startedMs,
        'a control': await markOnce(hub, agent, name, 't1'),
      })
    },
  )
})
