/** TLS, redirects and proxies as an agent meets them: nothing is sent to whom it must not trust, and it comes back by itself. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority, type Authority, type Certificate } from '../packages/agent/test/certificates.ts'
import { startDownlink } from './downlink-process.ts'
import { markOnce } from './mark-once.ts'
import { tellMeasured } from './measured.ts'
import { startNetworkAgent, type NetworkAgent, type NetworkAgentConfig } from './network-agent.ts'
import { startNetworkHub, type NetworkHub } from './network-hub.ts'
import { startNginx, type Nginx, type NginxSite } from './nginx-process.ts'
import { startRecorder } from './recorder.ts'
import { freePorts } from './server-process.ts'

const HERE = 'IP:127.0.0.1'

let folder: string
let hub: NetworkHub
let authority: Authority
let stranger: Authority
let caFile: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-certificates-'))
  authority = createAuthority()
  stranger = createAuthority()
  caFile = join(folder, 'ca.pem')
  writeFileSync(caFile, authority.ca)
  hub = await startNetworkHub({ folder: join(folder, 'hub'), heartbeat: '1s' })
})

afterAll(async () => {
  await hub[Symbol.asyncDispose]()
  authority[Symbol.dispose]()
  stranger[Symbol.dispose]()
  rmSync(folder, { recursive: true, force: true })
})

interface Front {
  readonly url: string
  readonly port: number
  readonly nginx: Nginx
  /** Takes another certificate. */
  renew(certificate: Certificate): Promise<void>
  /** The requests that it was sent. */
  requests(): string
}

/** nginx with TLS before the hub. @param more - directives of its server and of its location */
async function frontOf(
  parts: AsyncDisposableStack,
  name: string,
  certificate: Certificate,
  more: { readonly server?: string; readonly location?: string } = {},
): Promise<Front> {
  const [port = 0, probePort = 0] = await freePorts(2)
  const file = (kind: string): string => join(folder, `${name}.${kind}`)
  const site: NginxSite = {
    server: `listen 127.0.0.1:${port} ssl; ssl_certificate ${file('pem')}; ssl_certificate_key ${file('key')}; ${more.server ?? ''}`,
    location: more.location ?? '',
    upstream: `http://127.0.0.1:${hub.port}`,
  }
  const put = ({ cert, key }: Certificate): void => {
    writeFileSync(file('pem'), cert)
    writeFileSync(file('key'), key)
  }
  put(certificate)
  const nginx = parts.use(await startNginx(join(folder, name), probePort, site))
  return {
    url: `https://127.0.0.1:${port}`,
    port,
    nginx,
    async renew(next) {
      put(next)
      await nginx.reload(site)
    },
    requests: () =>
      readFileSync(join(folder, name, 'access.log'), 'utf8')
        .split('\n')
        .filter((line) => line.includes('/api/'))
        .join('\n'),
  }
}

async function agentOf(
  parts: AsyncDisposableStack,
  agentId: string,
  config: Omit<NetworkAgentConfig, 'stateDirectory'>,
  env: Readonly<Record<string, string>> = {},
): Promise<NetworkAgent> {
  const state = { stateDirectory: join(folder, `state-${agentId}`) }
  return parts.use(startNetworkAgent({ ...state, ...config }, await hub.enroll(agentId), { env }))
}

/** Certificates that are no good, by what is wrong with them, and what the agent's log then holds. */
const BROKEN: readonly (readonly [string, string, () => Certificate, string])[] = [
  ['has expired', 'expired', () => authority.issue(HERE, -1), 'CERT_HAS_EXPIRED'],
  ['is for another host', 'wrong-host', () => authority.issue('DNS:other.example'), 'ALTNAME_INVALID'],
  ['is from an unknown authority', 'unknown', () => stranger.issue(HERE), 'UNABLE_TO_VERIFY'],
  ['signed itself', 'self', () => stranger.issueItself(HERE), 'SELF_SIGNED'],
]

describe.concurrent('given a hub behind nginx with TLS', () => {
  test.for(BROKEN)(
    'when its certificate %s > nothing is sent, the agent names it, and comes back once it is replaced',
    async ([, name, certificate, systemCode]) => {
      await using parts = new AsyncDisposableStack()
      const front = await frontOf(parts, name, certificate())
      const agent = await agentOf(parts, name, { hubs: [front.url], caFile })
      const startedMs = await agent.reaches('offline')
      const named = await agent.names('tls')
      const { error } = await agent.until('it says what is wrong', (lines) =>
        lines.find((said) => said.error !== undefined),
      )
      expect(error).toContain(systemCode)
      expect(front.requests(), 'nothing may be sent before the certificate is trusted').toBe('')
      const renewedMs = Date.now()
      await front.renew(authority.issue(HERE))
      const streamMs = await agent.reaches('sse', renewedMs)
      tellMeasured(`a certificate that is ${name}`, {
        'named after': named.atMs - startedMs,
        'stream after it was replaced': streamMs - renewedMs,
        'a control': await markOnce(hub, agent, name, 't1'),
      })
    },
  )

  test('when its authority is known by NODE_EXTRA_CA_CERTS alone > it is trusted', async () => {
    await using parts = new AsyncDisposableStack()
    const front = await frontOf(parts, 'extra', authority.issue(HERE))
    const agent = await agentOf(parts, 'extra', { hubs: [front.url] }, { NODE_EXTRA_CA_CERTS: caFile })
    await agent.reaches('sse')
    await markOnce(hub, agent, 'extra', 't1')
  })

  test('when its authority is known by the option --ca of the command > the agent enrolls and connects', async () => {
    await using parts = new AsyncDisposableStack()
    const front = await frontOf(parts, 'command', authority.issue(HERE))
    const { key } = await hub.call('POST', '/api/v1/enrollment-keys', {})
    writeFileSync(join(folder, 'enrollment-key'), String(key), { mode: 0o600 })
    const args = ['agent', '--name', 'command', '--hub', front.url, '--enrollment-key-file', 'enrollment-key']
    const agent = startDownlink(folder, [...args, '--ca', 'ca.pem'])
    parts.defer(() => agent.stop().then(() => undefined))
    await agent.prints(`Agent command is connected to ${front.url}`)
  })

  test('when it asks for a client certificate > only an agent with one is let in', async () => {
    await using parts = new AsyncDisposableStack()
    const front = await frontOf(parts, 'mutual', authority.issue(HERE), {
      server: `ssl_client_certificate ${caFile}; ssl_verify_client on;`,
    })
    const without = await agentOf(parts, 'without', { hubs: [front.url], caFile })
    const { error } = await without.until('it is refused', (lines) =>
      lines.find((said) => said.error !== undefined),
    )
    expect(error).toContain('was answered 400')
    const { cert, key } = authority.issue('DNS:agent')
    const [certFile, keyFile] = [join(folder, 'client.pem'), join(folder, 'client.key')]
    writeFileSync(certFile, cert)
    writeFileSync(keyFile, key)
    const agent = await agentOf(parts, 'mutual', { hubs: [front.url], caFile, certFile, keyFile })
    await agent.reaches('sse')
    await markOnce(hub, agent, 'mutual', 't1')
    expect(without.status()?.downlink).toBe('offline')
  })

  test('when its handshake is never answered > that is named, and a mirror takes over', async () => {
    await using parts = new AsyncDisposableStack()
    const silent = parts.use(await startRecorder())
    const front = await frontOf(parts, 'mirror', authority.issue(HERE))
    const stalled = `https://127.0.0.1:${silent.port}`
    const alone = await agentOf(parts, 'stalled', { hubs: [stalled], caFile })
    const startedMs = await alone.reaches('offline')
    const named = await alone.names('tls')
    const agent = await agentOf(parts, 'mirrored', { hubs: [stalled, front.url], caFile })
    const dialledMs = await agent.reaches('offline')
    const streamMs = await agent.reaches('sse')
    expect(agent.status()?.hub).toBe(front.url)
    expect(silent.text()).not.toContain('dla.')
    tellMeasured('a TLS handshake that stalls', {
      'named after': named.atMs - startedMs,
      'stream by the mirror after': streamMs - dialledMs,
    })
  })
})

describe.concurrent('given what must not learn the credential', () => {
  test.for([301, 302, 307, 308])(
    'when the hub redirects to another origin with %i > that origin hears nothing',
    async (status) => {
      await using parts = new AsyncDisposableStack()
      const elsewhere = parts.use(await startRecorder())
      const name = `redirect-${status}`
      const front = await frontOf(parts, name, authority.issue(HERE), {
        location: `return ${status} http://127.0.0.1:${elsewhere.port}$request_uri;`,
      })
      const agent = await agentOf(parts, name, { hubs: [front.url], caFile })
      const startedMs = await agent.reaches('offline')
      const named = await agent.names('login-page')
      const { error } = await agent.until('it says so', (lines) =>
        lines.find((said) => said.error?.includes('redirect')),
      )
      expect(error).toContain(`was answered ${status}, a redirect to http://127.0.0.1:${elsewhere.port}`)
      await expectRequests(front, ['events', 'sync', 'wake'])
      expect(elsewhere.connections(), 'a redirect was followed').toBe(0)
      tellMeasured(`redirected with ${status}`, { 'named after': named.atMs - startedMs })
    },
  )

  test('when proxies are named for plain HTTP > they are not even connected to', async () => {
    await using parts = new AsyncDisposableStack()
    const proxy = parts.use(await startRecorder())
    const url = `http://127.0.0.1:${proxy.port}`
    const env = {
      HTTP_PROXY: url,
      http_proxy: url,
      HTTPS_PROXY: url,
      ALL_PROXY: url,
      NO_PROXY: '',
      no_proxy: '',
    }
    const agent = await agentOf(parts, 'plain', { hubs: [`http://127.0.0.1:${hub.port}`] }, env)
    await agent.reaches('sse')
    await markOnce(hub, agent, 'plain', 't1')
    expect([proxy.connections(), proxy.text()]).toEqual([0, ''])
  })

  test('when a proxy makes the tunnel to a hub on TLS > it sees where to, and nothing else', async () => {
    await using parts = new AsyncDisposableStack()
    const front = await frontOf(parts, 'tunnel', authority.issue('DNS:hub.invalid'))
    const proxy = parts.use(await startRecorder(front.port))
    const hubs = ['https://hub.invalid']
    const env = { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`, NO_PROXY: '' }
    const agent = await agentOf(parts, 'tunnel', { hubs, caFile }, env)
    await agent.reaches('sse')
    await markOnce(hub, agent, 'tunnel', 't1')
    expect(proxy.text()).toMatch(/^CONNECT hub\.invalid:443 HTTP\/1\.1\r\n/)
    expect(proxy.text()).not.toMatch(/dla\.|authorization/i)
    const before = proxy.connections()
    const exempt = await agentOf(parts, 'exempt', { hubs, caFile }, { ...env, NO_PROXY: 'hub.invalid' })
    await exempt.names('dns')
    expect(proxy.connections(), 'NO_PROXY names the hub').toBe(before)
  })
})

/** Waits until each of these was asked for. */
async function expectRequests(front: Front, endpoints: readonly string[]): Promise<void> {
  for (;;) {
    const requests = front.requests()
    if (endpoints.every((endpoint) => requests.includes(`/${endpoint} `))) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
