/** An agent and its hub in network namespaces of their own: whatever the network between them does, the agent finds out and comes back. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { mark, type Marked } from './mark-once.ts'
import { tellMeasured } from './measured.ts'
import { startNameServer, type NameServer } from './name-server.ts'
import {
  createLink,
  createNamespace,
  delayForbidden,
  namespacesForbidden,
  removeNamespaces,
  sendFrom,
  type Link,
  type Namespace,
} from './namespaces.ts'
import { startNetworkAgent, type NetworkAgent } from './network-agent.ts'
import { startNetworkHub, type NetworkHub } from './network-hub.ts'

const PORT = 8_787
/** Everything that the agent hears, or says, but for what stays within its namespace. */
const COMING = 'iifname eth0'
const GOING = 'oifname eth0'

const forbidden = namespacesForbidden()
if (forbidden !== undefined) {
  console.log(
    `skipped: e2e/netns.network.test.ts, as this machine allows no network namespaces: ${forbidden}`,
  )
}
const noDelay = forbidden === undefined ? delayForbidden() : forbidden
if (noDelay !== undefined) {
  console.log(`skipped: the tests of slow networks, as this machine cannot delay packets: ${noDelay}`)
}

const parts = new AsyncDisposableStack()
let folder: string
let space: Namespace
let hub: NetworkHub
let names: NameServer

beforeAll(async () => {
  if (forbidden !== undefined) return
  folder = parts.adopt(mkdtempSync(join(tmpdir(), 'downlink-netns-')), (made) =>
    rmSync(made, { recursive: true, force: true }),
  )
  space = parts.use(createNamespace('hub'))
  names = parts.use(await startNameServer(space, folder))
  const relay = parts.use(sendFrom(space))
  hub = parts.use(
    await startNetworkHub({
      folder: join(folder, 'hub'),
      heartbeat: '1s',
      port: PORT,
      host: '::',
      address: '127.0.0.1',
      within: space.within,
      send: relay.send,
    }),
  )
})

afterAll(async () => {
  await parts.disposeAsync()
  removeNamespaces()
})

/** An agent in a namespace of its own, linked with the hub's. */
interface Remote extends AsyncDisposable {
  readonly agentId: string
  readonly link: Link
  readonly agent: NetworkAgent
}

let links = 0

/** @param hubsOf - the hub's URLs as this agent is told them. @param prepare - before the agent starts */
async function remote(
  hubsOf: (link: Link) => readonly string[] = (link) => [at(link.hubAddress)],
  prepare: (link: Link) => void | Promise<void> = () => undefined,
): Promise<Remote> {
  const number = (links += 1)
  await using made = new AsyncDisposableStack()
  const link = made.use(createLink(space, number))
  await prepare(link)
  const agentId = `a${number}`
  const config = { hubs: hubsOf(link), stateDirectory: join(folder, `state-${agentId}`) }
  const agent = made.use(startNetworkAgent(config, await hub.enroll(agentId), { within: link.within }))
  const kept = made.move()
  return { agentId, link, agent, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

const at = (host: string): string => `http://${host.includes(':') ? `[${host}]` : host}:${PORT}`

const issue = ({ agent, agentId }: Remote, taskId: string): Promise<Marked> =>
  mark(hub, agent, agentId, taskId)

/** Breaks the network below an open stream and mends it again; a control is issued before, meanwhile and after. */
async function breakAndMend(
  what: string,
  one: Remote,
  breakIt: () => void | Promise<void>,
  mendIt: () => void | Promise<void>,
): Promise<void> {
  const { agent } = one
  await agent.reaches('sse')
  const before = await issue(one, 't-before')
  await before.settled()
  const brokenMs = Date.now()
  await breakIt()
  const meanwhile = await issue(one, 't-meanwhile')
  const foundMs = await agent.leavesStream(brokenMs)
  expect((await agent.names('stalled', brokenMs)).sentence, 'say what is seen of the path').not.toBe('')
  const mendedMs = Date.now()
  await mendIt()
  const meanwhileMs = await meanwhile.settled()
  const knownMs = Date.now()
  const streamMs = await agent.reaches('sse', foundMs + 1)
  const after = await issue(one, 't-after')
  tellMeasured(what, {
    'found after': foundMs - brokenMs,
    'stream back after it was mended': streamMs - mendedMs,
    'the control issued meanwhile applied after': meanwhileMs - meanwhile.issuedMs,
    'and known at the hub after it was mended': knownMs - mendedMs,
    'a control then': (await after.settled()) - after.issuedMs,
  })
}

describe
  .skipIf(forbidden !== undefined)
  .concurrent('given an agent and its hub in network namespaces', () => {
    test.for([
      ['both ways (a black hole)', { coming: [COMING], going: [GOING] }],
      ['from the hub to the agent', { coming: [COMING] }],
      ['from the agent to the hub', { going: [GOING] }],
      ['from the hub once 2,000 more bytes came', { coming: [`tcp sport ${PORT} quota over 2000 bytes`] }],
    ] as const)('when packets are dropped %s > it is found, and mended by itself', async ([what, rules]) => {
      await using one = await remote()
      await breakAndMend(
        `dropped ${what}`,
        one,
        () => one.link.drop(rules),
        () => one.link.dropNothing(),
      )
    })

    test('when the hub has its end of the line down > it is found, and mended by itself', async () => {
      await using one = await remote()
      const set = (state: 'up' | 'down') => (): void =>
        void space.run(['ip', 'link', 'set', one.link.hubInterface, state])
      await breakAndMend('the line down at the hub', one, set('down'), set('up'))
    })

    test("when the agent's address changes > it is found, and mended by itself", async () => {
      await using one = await remote()
      const change = (verb: 'add' | 'del', last: number): void =>
        void one.link.run(['ip', 'address', verb, `${one.link.address(last)}/24`, 'dev', 'eth0'])
      await breakAndMend(
        "the agent's address changed",
        one,
        () => change('del', 2),
        () => change('add', 9),
      )
    })

    test('when SYNs to the first hub are dropped > the mirror takes over', async () => {
      await using one = await remote(
        (link) => [at(link.address(3)), at(link.hubAddress)],
        (link) => link.drop({ going: [`ip daddr ${link.address(3)}`] }),
      )
      const startedMs = await one.agent.reaches('offline')
      const streamMs = await one.agent.reaches('sse')
      expect(one.agent.status()?.hub).toBe(at(one.link.hubAddress))
      tellMeasured('SYNs to the first hub dropped', { 'stream by the mirror after': streamMs - startedMs })
      await (await issue(one, 't1')).settled()
    })

    test("when the hub's name moves to another address > the new one is found", async () => {
      const host = 'moving.test'
      await using one = await remote(
        () => [at(host)],
        (link) => names.answer(host, [link.hubAddress]),
      )
      const { link } = one
      await breakAndMend(
        "the hub's name moved",
        one,
        () => {
          space.run(['ip', 'address', 'add', `${link.address(4)}/24`, 'dev', link.hubInterface])
          link.drop({
            coming: [`ip saddr ${link.hubAddress}`],
            going: [`tcp dport ${PORT} ip daddr ${link.hubAddress}`],
          })
        },
        () => names.answer(host, [link.address(4)]),
      )
    })

    test('when the name server is silent > nothing else of the agent waits for it, and it comes back', async () => {
      const host = 'silent.test'
      await using one = await remote(
        () => [at(host)],
        (link) => names.answer(host, [link.hubAddress]),
      )
      const { agent, link } = one
      await agent.reaches('sse')
      const brokenMs = Date.now()
      link.drop({ coming: [COMING], going: [GOING] })
      const meanwhile = await issue(one, 't-meanwhile')
      const foundMs = await agent.leavesStream(brokenMs)
      link.drop({ coming: ['udp sport 53'] })
      const refused = await agent.until('it says that names are not resolved', (lines) =>
        lines.find(({ atMs, error }) => atMs > foundMs && error?.includes('The name server did not answer')),
      )
      await agent.names('dns', foundMs)
      agent.child.kill('SIGUSR1')
      const { fileMs, lookupMs } = await agent.until('it looks at a file and up localhost', (lines) =>
        lines.find((said) => said.fileMs !== undefined),
      )
      const mendedMs = Date.now()
      link.dropNothing()
      const streamMs = await agent.reaches('sse', mendedMs)
      await meanwhile.settled()
      tellMeasured('a silent name server', {
        'a file looked at meanwhile': fileMs ?? Number.NaN,
        'localhost looked up meanwhile': lookupMs ?? Number.NaN,
        'first failure after': refused.atMs - foundMs,
        'stream back after it answered': streamMs - mendedMs,
      })
    })

    test.for([
      ['IPv6', 'ip6', 'ip'],
      ['IPv4', 'ip', 'ip6'],
    ] as const)(
      'when %s is a black hole and the other family works > that one is used, also once it is the other way round',
      async ([name, dead, alive]) => {
        const host = `${dead}-dead.test`
        const hole = (family: string, link: Link): string =>
          family === 'ip'
            ? `ip daddr ${link.hubAddress} tcp dport ${PORT}`
            : `ip6 daddr ${link.hubAddress6} tcp dport ${PORT}`
        await using one = await remote(
          () => [at(host)],
          async (link) => {
            await names.answer(host, [link.hubAddress, link.hubAddress6])
            link.drop({ going: [hole(dead, link)] })
          },
        )
        const { agent, link } = one
        const startedMs = await agent.reaches('offline')
        const streamMs = await agent.reaches('sse')
        await (await issue(one, 't1')).settled()
        const swappedMs = Date.now()
        link.drop({ going: [hole(alive, link)] })
        const foundMs = await agent.leavesStream(swappedMs)
        const backMs = await agent.reaches('sse', foundMs + 1)
        await (await issue(one, 't2')).settled()
        tellMeasured(`${name} a black hole`, {
          'stream after': streamMs - startedMs,
          'found after the swap': foundMs - swappedMs,
          'stream back after the swap': backMs - swappedMs,
        })
      },
    )

    test('when the first SYN is always lost and one family leads nowhere > the other one is waited for', async () => {
      const host = 'lossy.test'
      await using one = await remote(
        () => [at(host)],
        async (link) => {
          await names.answer(host, [link.hubAddress, link.hubAddress6])
          link.drop({
            going: [
              `ip daddr ${link.hubAddress} tcp dport ${PORT}`,
              'tcp flags & (syn | ack) == syn tcp sport != @ports add @ports { tcp sport }',
            ],
          })
        },
      )
      const startedMs = await one.agent.reaches('offline')
      const streamMs = await one.agent.reaches('sse')
      await (await issue(one, 't1')).settled()
      tellMeasured('the first SYN of each connection lost', { 'stream after': streamMs - startedMs })
    })

    test('when every fifth packet is lost > controls are applied, once', async () => {
      await using one = await remote()
      await one.agent.reaches('sse')
      const lost = 'numgen random mod 5 0'
      one.link.drop({ coming: [`${COMING} ${lost}`], going: [`${GOING} ${lost}`] })
      const tookMs: number[] = []
      for (let count = 0; count < 20; count += 1) {
        const control = await issue(one, `t${count}`)
        tookMs.push((await control.settled()) - control.issuedMs)
      }
      tellMeasured('every fifth packet lost', { 'slowest of 20 controls': Math.max(...tookMs) })
    })

    test.skipIf(noDelay !== undefined)(
      'when each way takes 300 ms and packets are lost > controls are applied, once',
      async () => {
        const slow = (run: Namespace['run'], device: string): void =>
          void run([
            'tc',
            'qdisc',
            'add',
            'dev',
            device,
            'root',
            'netem',
            'delay',
            '300ms',
            '50ms',
            'loss',
            '2%',
          ])
        await using one = await remote(undefined, (link) => {
          slow(link.run, 'eth0')
          slow(space.run, link.hubInterface)
        })
        await one.agent.reaches('sse')
        const control = await issue(one, 't1')
        tellMeasured('600 ms there and back', { 'a control': (await control.settled()) - control.issuedMs })
      },
    )
  })
