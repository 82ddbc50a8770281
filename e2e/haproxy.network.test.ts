/** HAProxy between an agent and its hub: it cuts what is idle, has no hub to ask, and is reloaded. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { startHaproxy } from './haproxy-process.ts'
import { mark, markOnce } from './mark-once.ts'
import { tellMeasured } from './measured.ts'
import { startNetworkAgent, type NetworkAgent } from './network-agent.ts'
import { startNetworkHub, type NetworkHub } from './network-hub.ts'
import { freePorts, type ServerProcess } from './server-process.ts'

const IDLE = '3s'
/** Heartbeats in four times as long. */
const BEATS = 12

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-haproxy-'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Behind extends AsyncDisposable {
  readonly hub: NetworkHub
  readonly haproxy: ServerProcess
  readonly agent: NetworkAgent
  /** Starts the hub again, where it was. */
  hubAgain(): Promise<NetworkHub>
}

/** A hub, a HAProxy before it, and an agent that knows only that. */
async function behindHaproxy(agentId: string, heartbeat: string): Promise<Behind> {
  await using made = new AsyncDisposableStack()
  const [port = 0, hubPort = 0] = await freePorts(2)
  const options = { folder: join(folder, agentId), heartbeat, port: hubPort }
  const start = async (): Promise<NetworkHub> => kept.use(await startNetworkHub(options))
  const hub = made.use(await startNetworkHub(options))
  const haproxy = made.use(
    await startHaproxy(join(folder, `${agentId}-haproxy`), { port, hubPort, idle: IDLE }),
  )
  const config = { hubs: [`http://127.0.0.1:${port}`], stateDirectory: join(folder, `${agentId}-state`) }
  const agent = made.use(startNetworkAgent(config, await hub.enroll(agentId)))
  const kept = made.move()
  return { hub, haproxy, agent, hubAgain: start, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

describe.concurrent('given HAProxy that cuts what says nothing for 3 s', () => {
  test('when heartbeats are rarer > the agent names it, with how long, and controls flow all the same', async () => {
    await using behind = await behindHaproxy('idle', '20s')
    const { hub, agent } = behind
    const streamMs = await agent.reaches('sse')
    const cutMs = await agent.leavesStream(streamMs)
    const named = await agent.names('cut-idle')
    expect(named.remedy, 'say what to do about it').toMatch(/idle time-out/)
    const first = await markOnce(hub, agent, 'idle', 't1')
    const second = await markOnce(hub, agent, 'idle', 't2')
    tellMeasured('HAProxy that cuts idle streams', {
      'first cut after': cutMs - streamMs,
      'named after': named.atMs - streamMs,
      'idle time that it names': named.idleMs ?? Number.NaN,
      'a control': first,
      'another control': second,
    })
    await vi.waitFor(
      async () =>
        expect(await hub.call('GET', '/api/v1/agents/idle'), 'the hub shows it, too').toMatchObject({
          path: { verdict: 'cut-idle' },
        }),
      { timeout: 60_000, interval: 200 },
    )
  })

  test('when heartbeats are more frequent > the stream stays up', async () => {
    await using behind = await behindHaproxy('frequent', '1s')
    const { hub, agent } = behind
    const streamMs = await agent.reaches('sse')
    await heartbeats(hub, BEATS)
    const pushedMs = await markOnce(hub, agent, 'frequent', 't1')
    const lost = agent.lines.filter(
      ({ atMs, status }) => atMs > streamMs && status !== undefined && status.downlink !== 'sse',
    )
    expect(lost, 'the stream must outlive the idle time').toEqual([])
    tellMeasured('HAProxy with heartbeats below its idle time', {
      'one stream so far': Date.now() - streamMs,
      'a control': pushedMs,
    })
  })

  test('when it answers 503 as the hub is down > the agent says so, and comes back with the hub', async () => {
    await using behind = await behindHaproxy('down', '1s')
    const { agent } = behind
    await agent.reaches('sse')
    const stoppedMs = Date.now()
    await behind.hub[Symbol.asyncDispose]()
    const offlineMs = await agent.reaches('offline', stoppedMs)
    const { error } = await agent.until('it says what HAProxy answers', (lines) =>
      lines.find((said) => said.error?.includes('503')),
    )
    expect(error).toMatch(/was answered 503/)
    const hub = await behind.hubAgain()
    const startedMs = Date.now()
    const streamMs = await agent.reaches('sse', startedMs)
    tellMeasured('HAProxy without its hub', {
      'found after': offlineMs - stoppedMs,
      'back on the stream after it was up again': streamMs - startedMs,
      'a control': await markOnce(hub, agent, 'down', 't1'),
    })
  })

  test('when it is reloaded > the stream is taken up again, and what was issued then is applied once', async () => {
    await using behind = await behindHaproxy('reloaded', '1s')
    const { hub, haproxy, agent } = behind
    await agent.reaches('sse')
    const reloadedMs = Date.now()
    haproxy.signal('SIGUSR2')
    const control = await mark(hub, agent, 'reloaded', 't1')
    const lostMs = await agent.leavesStream(reloadedMs)
    const streamMs = await agent.reaches('sse', lostMs)
    tellMeasured('HAProxy reloaded', {
      'cut after': lostMs - reloadedMs,
      'back on the stream after that': streamMs - lostMs,
      'the control applied after': (await control.settled()) - control.issuedMs,
    })
  })
})

/** Waits until the hub has sent so many heartbeats, down a stream that reaches it directly. */
async function heartbeats(hub: NetworkHub, count: number): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${hub.port}/api/internal/agent/events`, {
    headers: { authorization: `Bearer ${await hub.enroll('listener')}` },
  })
  let text = ''
  const decoder = new TextDecoder()
  for await (const bytes of response.body ?? []) {
    text += decoder.decode(bytes)
    if (text.split(': hb ').length > count) return
  }
  throw new Error(`The hub ended the stream of the one that counts its heartbeats: ${text}`)
}
