/** A hub on loopback with everything that tests of its two APIs need; ends all that it started. */
import { request as httpRequest, type ClientRequest } from 'node:http'
import { systemClock, type Clock, type Json } from '@downlink/protocol'
import {
  createHub,
  createOperatorToken,
  type Hub,
  type HubOptions,
  type OperatorScope,
  type Store,
} from '../src/index.ts'
import { createMemoryStore } from '../src/store/memory-store.ts'

/** A reply, parsed. `body` is loose on purpose: a test asserts what it holds. */
export interface Reply {
  readonly status: number
  readonly headers: Headers
  // oxlint-disable-next-line typescript/no-explicit-any -- a test reads any shape and fails where it differs
  readonly body: any
}

/** A stream as bytes on a socket, as `curl -N` shows it. */
export interface RawStream extends AsyncDisposable {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  readonly ended: Promise<void>
  /** Resolves with the text once it matches; rejects if the stream ends before. */
  until(pattern: RegExp): Promise<string>
  pause(): void
  resume(): void
}

export interface AgentFixture {
  readonly agentId: string
  readonly apiKey: string
  call(method: string, path: string, body?: Json): Promise<Reply>
  /** Polls once. @param headers - those of our agents; none for an original. */
  wake(headers?: Record<string, string>): Promise<Reply>
  sync(body?: Record<string, unknown>): Promise<Reply>
  openStream(headers?: Record<string, string>): Promise<RawStream>
}

export interface HubFixture extends AsyncDisposable {
  readonly hub: Hub
  readonly url: URL
  readonly store: Store
  readonly token: string
  operator(method: string, path: string, body?: Json, headers?: Record<string, string>): Promise<Reply>
  /** An enrollment key's text. */
  enrollmentKey(options?: Json): Promise<string>
  exchange(body: Json): Promise<Reply>
  enroll(agentId: string): Promise<AgentFixture>
  agent(agentId: string, apiKey: string): AgentFixture
}

export interface HubFixtureOptions {
  readonly clock?: Clock
  readonly scopes?: readonly OperatorScope[]
  /** What the hub is told beside its store and clock. */
  readonly hub?: Partial<Omit<HubOptions, 'store' | 'clock'>>
  /** Puts something between the hub and its store, to make that fail. */
  readonly wrapStore?: (store: Store) => Store
}

/** Starts a hub with heartbeats of 100 ms on a free port. */
export async function startHub(options: HubFixtureOptions = {}): Promise<HubFixture> {
  const clock = options.clock ?? systemClock
  const inner = createMemoryStore({ clock })
  const store = options.wrapStore?.(inner) ?? inner
  const hub = await createHub({ store, clock, heartbeatMs: 100, ...options.hub })
  const url = await hub.listen({ port: 0 })
  const { token } = await createOperatorToken(inner, { name: 'ada', scopes: options.scopes ?? ['admin'] })
  const streams = new Set<RawStream>()

  const call = (method: string, path: string, key?: string, body?: Json, headers = {}): Promise<Reply> =>
    jsonCall(new URL(path, url), method, body, {
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...headers,
    })
  const agent = (agentId: string, apiKey: string): AgentFixture => ({
    agentId,
    apiKey,
    call: (method, path, body) => call(method, `/api/internal/agent/${path}`, apiKey, body),
    wake: (headers = {}) => call('GET', '/api/internal/agent/wake', apiKey, undefined, headers),
    sync: (body = {}) =>
      call('POST', '/api/internal/agent/sync', apiKey, {
        agentId,
        tasks: [],
        freeSlots: 1,
        ...(body as Record<string, Json>),
      }),
    async openStream(headers = {}) {
      const stream = await openRawStream(new URL('/api/internal/agent/events', url), {
        authorization: `Bearer ${apiKey}`,
        accept: 'text/event-stream',
        ...headers,
      })
      streams.add(stream)
      return stream
    },
  })
  const fixture: HubFixture = {
    hub,
    url,
    store,
    token,
    operator: (method, path, body, headers) => call(method, path, token, body, headers),
    async enrollmentKey(body = {}) {
      return (await fixture.operator('POST', '/api/v1/enrollment-keys', body)).body.key as string
    },
    exchange: (body) => call('POST', '/api/internal/agent/authkey/exchange', undefined, body),
    async enroll(agentId) {
      const reply = await fixture.exchange({ authKey: await fixture.enrollmentKey(), agentId })
      return agent(agentId, reply.body.apiKey as string)
    },
    agent,
    async [Symbol.asyncDispose]() {
      await Promise.all([...streams].map((stream) => stream[Symbol.asyncDispose]()))
      await hub.drain()
      await inner[Symbol.asyncDispose]()
    },
  }
  return fixture
}

/** What our agent adds to a sync; `counter` grows with each. */
export function ours(counter: number, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { journalId: 'journal-1', bootNonce: 'boot-1', connectCounter: counter, ...more }
}

/** The headers of our agent's stream; the journal is that of {@link ours}. */
export function boot(nonce: string, counter: number): Record<string, string> {
  return {
    'downlink-boot': nonce,
    'downlink-connect': String(counter),
    'downlink-journal': 'journal-1',
  }
}

/** The store, but that `before` ends before the first `method` of a mailbox begins for which it has something to do. */
export function interruptedStore(
  store: Store,
  method: 'read' | 'update',
  before: () => Promise<unknown> | undefined,
): Store {
  let isOver = false
  const interrupt = async (bucket: unknown): Promise<void> => {
    if (bucket !== 'mailboxes' || isOver) return
    const work = before()
    isOver = work !== undefined
    await work
  }
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      const bound = value.bind(target) as (...args: readonly unknown[]) => unknown
      if (name !== method) return bound
      return async (...args: readonly unknown[]) => {
        await interrupt(args[0])
        return bound(...args)
      }
    },
  })
}

async function jsonCall(
  url: URL,
  method: string,
  body: Json | undefined,
  headers: Record<string, string>,
): Promise<Reply> {
  const response = await fetch(url, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? undefined : (JSON.parse(text) as unknown),
  }
}

/** Opens a stream and reads it as text. */
export function openRawStream(url: URL, headers: Record<string, string>): Promise<RawStream> {
  const { promise, resolve, reject } = Promise.withResolvers<RawStream>()
  const request: ClientRequest = httpRequest(url, { headers, agent: false })
  request.once('error', reject)
  request.end()
  request.once('response', (response) => {
    let text = ''
    const checks = new Set<() => void>()
    const ended = Promise.withResolvers<void>()
    const recheck = (): void => {
      for (const check of checks) check()
    }
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => {
      text += chunk
      recheck()
    })
    response.on('error', () => {})
    response.once('close', () => {
      ended.resolve()
      recheck()
    })
    resolve({
      status: response.statusCode ?? 0,
      headers: response.headers,
      get text() {
        return text
      },
      ended: ended.promise,
      until(pattern) {
        const seen = Promise.withResolvers<string>()
        const check = (): void => {
          if (pattern.test(text)) seen.resolve(text)
          else if (response.closed)
            seen.reject(new Error(`The stream ended before ${String(pattern)}. It held: ${text}`))
        }
        checks.add(check)
        check()
        return seen.promise.finally(() => checks.delete(check))
      },
      pause: () => void response.pause(),
      resume: () => void response.resume(),
      async [Symbol.asyncDispose]() {
        request.destroy()
        await ended.promise
      },
    })
  })
  return promise
}
