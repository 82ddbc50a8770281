/** A hub on loopback that can be stopped and started again, a scripted server of either wire, and agents of both. */
import { limits, systemClock, type Clock, type Json } from '@downlink/protocol'
import { createHub, createOperatorToken, type Hub, type Store } from '@downlink/hub'
import { mkdtemp, rm } from 'node:fs/promises'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { vi } from 'vitest'
import { createMemoryStore } from '../../hub/src/store/memory-store.ts'
import {
  createAgent,
  enroll,
  memoryCredential,
  type Agent,
  type AgentEnd,
  type AgentOptions,
} from '../src/index.ts'

/** A reply of the operator API; a test asserts what it holds. */
export interface Reply {
  readonly status: number
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads any shape and fails where it differs
  readonly body: any
}

/** Waits until `probe` returns something; the message says what never came. */
export function until<T>(what: string, probe: () => T | undefined | false): Promise<T> {
  return vi.waitFor(
    () => {
      const value = probe()
      if (value === undefined || value === false) throw new Error(`It never came to this: ${what}.`)
      return value
    },
    { timeout: 20_000, interval: 10 },
  )
}

/** Ends what a test started, the last first. */
export class Cleanup implements AsyncDisposable {
  readonly #steps: (() => PromiseLike<unknown>)[] = []

  add(step: () => PromiseLike<unknown>): void {
    this.#steps.push(step)
  }

  async temporaryDirectory(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'downlink-agent-'))
    this.add(() => rm(directory, { recursive: true }))
    return directory
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const step of this.#steps.splice(0).toReversed()) await step()
  }
}

/** A running agent and what it said. */
export interface RunningAgent {
  readonly agent: Agent
  readonly logged: unknown[]
  /** Why its run has ended. */
  readonly ended: Promise<AgentEnd>
  stop(): Promise<void>
}

export function runAgent(cleanup: Cleanup, options: AgentOptions): RunningAgent {
  const logged: unknown[] = []
  const log = (fields: object, message: string): void => void logged.push({ fields, message })
  const agent = createAgent({ logger: { debug: log, info: log, warn: log, error: log }, ...options })
  const running = agent.run()
  running.catch(() => undefined)
  const stop = async (): Promise<void> => {
    await agent[Symbol.asyncDispose]()
    await running
  }
  cleanup.add(() => stop().catch(() => undefined))
  return { agent, logged, ended: running, stop }
}

/** A hub with a store that outlives it. */
export class RestartableHub {
  readonly #store: Store
  readonly #token: string
  readonly #clock: Clock
  #hub: Hub
  readonly url: URL

  private constructor(store: Store, clock: Clock, token: string, hub: Hub, url: URL) {
    this.#clock = clock
    this.#store = store
    this.#token = token
    this.#hub = hub
    this.url = url
  }

  /** @param clock - the hub's; a test's own must be moved for heartbeats to come. */
  static async start(cleanup: Cleanup, clock: Clock = systemClock): Promise<RestartableHub> {
    const store = createMemoryStore({ clock })
    cleanup.add(() => store[Symbol.asyncDispose]())
    const { token } = await createOperatorToken(store, { name: 'ada', scopes: ['admin'] })
    const hub = await createHub({ store, clock, heartbeatMs: heartbeatOf(clock) })
    const started = new RestartableHub(store, clock, token, hub, await hub.listen({ port: 0 }))
    cleanup.add(() => started.stop())
    return started
  }

  async stop(): Promise<void> {
    await this.#hub.drain({ deadlineMs: 0 })
  }

  async startAgain(): Promise<void> {
    const store = this.#store
    const clock = this.#clock
    this.#hub = await createHub({ store, clock, heartbeatMs: heartbeatOf(clock) })
    await this.#hub.listen({ port: Number(this.url.port) })
  }

  async call(method: string, path: string, body?: Json): Promise<Reply> {
    const response = await fetch(new URL(`/api/v1/${path}`, this.url), {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const said = await response.text()
    return { status: response.status, body: said === '' ? undefined : (JSON.parse(said) as unknown) }
  }

  /** A control, waited for until it is `until`. */
  async control(
    action: string,
    taskId: string,
    state: 'applied' | 'observed',
    args?: Json,
  ): Promise<Reply['body']> {
    const body = { action, taskId, ...(args === undefined ? {} : { args }) }
    const reply = await this.call('POST', `agents/a1/controls?wait=20s&until=${state}`, body)
    return reply.body
  }

  /** Resolves once the hub holds a control of `a1`. */
  async hasControls(): Promise<void> {
    await vi.waitFor(async () => {
      const { body } = await this.call('GET', 'agents/a1/controls')
      if (body.items.length === 0) throw new Error('The hub never took the control.')
    })
  }

  /** The options of an agent `a1` that has just been enrolled. */
  async enrolled(): Promise<Pick<AgentOptions, 'hubs' | 'credential' | 'livenessMsMin'>> {
    const { body } = await this.call('POST', 'enrollment-keys', {})
    const credential = memoryCredential()
    await enroll({ hub: this.url, enrollmentKey: body.key as string, agentId: 'a1', credential })
    return { hubs: [this.url], credential, livenessMsMin: limits.LIVENESS_MS_MIN }
  }
}

/** On a clock that a test moves in large steps a short period would mean many heartbeats at once. */
function heartbeatOf(clock: Clock): number {
  return clock === systemClock ? 100 : limits.HEARTBEAT_MS_DEFAULT
}

/** A server that says what the test tells it to. */
export interface ScriptedServer {
  readonly url: URL
  /** The bodies of all syncs. */
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads any shape and fails where it differs
  readonly syncs: any[]
  /** The answer to a sync. */
  // oxlint-disable-next-line typescript/no-explicit-any -- as above
  answer: (body: any) => Json
  readonly streams: ReadonlySet<ServerResponse>
  push(...controls: Json[]): void
}

export async function startScriptedServer(cleanup: Cleanup): Promise<ScriptedServer> {
  const streams = new Set<ServerResponse>()
  const sockets = new Set<Socket>()
  const syncs: unknown[] = []
  const http = createServer((request, response) => {
    if (request.url?.endsWith('/events') === true) {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(': connected\n\n')
      streams.add(response)
      response.once('close', () => streams.delete(response))
      return
    }
    void text(request).then((body) => {
      const json = JSON.parse(body) as unknown
      syncs.push(json)
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(server.answer(json)))
    })
  })
  http.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  cleanup.add(async () => {
    for (const socket of sockets) socket.destroy()
    http.close()
    await once(http, 'close')
  })
  const server: ScriptedServer = {
    url: new URL(`http://127.0.0.1:${(http.address() as AddressInfo).port}`),
    syncs,
    streams,
    answer: () => ({ controls: [], newTasks: [], watching: false }),
    push(...controls) {
      for (const stream of streams) {
        stream.write(`event: command\ndata: ${JSON.stringify({ controls })}\n\n`)
      }
    },
  }
  return server
}
