/** What a hub logs, over real sockets: no secret, wherever it stood; no flood; each request only for who asks. */
import { limits } from '@downlink/protocol'
import { afterEach, describe, expect, test } from 'vitest'
import { createTestClock } from '../../testkit/src/test-clock.ts'
import { ENDPOINTS } from '../test/endpoints.ts'
import { startHub, type HubFixture, type HubFixtureOptions } from '../test/hub-fixture.ts'
import type { Logger } from './logger.ts'
import { StoreError } from './store/store.ts'

interface Line {
  readonly level: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly message: string
}

let hub: HubFixture
let lines: Line[]
afterEach(() => hub[Symbol.asyncDispose]())

async function start(options: HubFixtureOptions = {}): Promise<void> {
  lines = []
  const take = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields: fields as Line['fields'], message })
  const logger: Logger = {
    debug: take('debug'),
    info: take('info'),
    warn: take('warn'),
    error: take('error'),
  }
  hub = await startHub({ ...options, hub: { ...options.hub, logger } })
}

/** All that a logger could print, errors with their stacks and causes too. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_name, part: unknown) =>
    part instanceof Error
      ? { name: part.name, message: part.message, stack: part.stack, cause: part.cause }
      : part,
  )
}

describe('given requests to every route, with secrets in every place', () => {
  test('when all is well, and when the store fails with a message that has them > none is in the log', async () => {
    let leak: string | undefined
    const fail =
      <A extends readonly unknown[], R>(call: (...args: A) => Promise<R>) =>
      (...args: A): Promise<R> =>
        leak === undefined
          ? call(...args)
          : Promise.reject(new StoreError('store_unavailable', `INSERT of ${leak} failed`, new Error(leak)))
    await start({
      hub: { isAccessLogged: true },
      wrapStore(store) {
        store.update = fail(store.update.bind(store)) as typeof store.update
        store.list = fail(store.list.bind(store)) as typeof store.list
        store.readHistory = fail(store.readHistory.bind(store))
        return store
      },
    })
    const agent = await hub.enroll('a1')
    const enrollmentKey = await hub.enrollmentKey()
    const secrets = [
      hub.token,
      agent.apiKey,
      enrollmentKey,
      'dlo.forgedforged.secretsecret',
      'open-sesame-1234',
    ]
    const send = async (secret: string): Promise<void> => {
      const body = {
        agentId: 'a1',
        taskId: secret,
        action: secret,
        args: { password: secret },
        authKey: secret,
      }
      for (const { method, path, by } of ENDPOINTS) {
        if (path.endsWith('/events') || path.endsWith('/wake') || method === 'DELETE') continue
        const right = by === 'agents' ? agent.apiKey : hub.token
        for (const bearer of [right, secret]) {
          const headers = {
            authorization: `Bearer ${bearer}`,
            cookie: `session=${secret}`,
            'x-api-key': secret,
            'idempotency-key': secret,
            'content-type': 'application/json',
          }
          const init = { method, headers, ...(method === 'POST' ? { body: JSON.stringify(body) } : {}) }
          const reply = await fetch(new URL(`${path}?token=${secret}&key=${secret}`, hub.url), init)
          await reply.text()
        }
      }
      for (const path of [`/api/v1/${secret}`, `/${secret}`, `/api/internal/agent/${secret}`]) {
        await (await fetch(new URL(path, hub.url))).text()
      }
    }
    for (const secret of secrets) await send(secret)
    const healthy = lines.length
    for (const secret of secrets.slice(0, 4)) {
      leak = secret
      await send(secret)
    }
    leak = undefined
    await expect.poll(() => lines.some(({ level }) => level === 'warn')).toBe(true)
    expect(healthy, 'the access log has each').toBeGreaterThan(ENDPOINTS.length)
    const text = textOf(lines)
    expect(text, 'the failures are told').toContain('INSERT of [credential] failed')
    for (const secret of secrets) {
      expect(text, 'a secret was logged; see BoundedLogger').not.toContain(secret.split('.').at(-1))
    }
  })
})

describe('given a store that fails each of a thousand requests', () => {
  test('when each is answered with 503 > the log has a few lines, and says how many were left out', async () => {
    const clock = createTestClock()
    let isFailing = false
    await start({
      clock,
      wrapStore(store) {
        const update = store.update.bind(store)
        store.update = (...args) =>
          isFailing
            ? Promise.reject(new StoreError('store_unavailable', 'The disk is full.'))
            : update(...args)
        return store
      },
    })
    await hub.enroll('a1')
    lines.length = 0
    isFailing = true
    const pause = { action: 'pause', taskId: 't1' }
    const ask = (): Promise<unknown> => hub.operator('POST', '/api/v1/agents/a1/controls', pause)
    for (let n = 0; n < 1_000; n += 50) {
      await Promise.all(Array.from({ length: 50 }, ask))
    }
    const failed = (): Line[] => lines.filter(({ level }) => level === 'warn')
    expect(failed()).toHaveLength(limits.LOG_REPEATS_MAX)
    clock.advance(limits.LOG_WINDOW_MS)
    await ask()
    expect(failed().at(-1)?.fields).toMatchObject({ repeated: 1_000 - limits.LOG_REPEATS_MAX })
  })
})

describe('given an access log', () => {
  test('when it was not asked for > no request is logged; when it was, each is, with its route and sender', async () => {
    await start()
    const request = 'A request was answered'
    await hub.operator('GET', '/api/v1/agents')
    expect(lines.map(({ message }) => message)).not.toContain(request)
    await hub[Symbol.asyncDispose]()
    await start({ hub: { isAccessLogged: true } })
    const agent = await hub.enroll('a1')
    await agent.sync()
    await hub.operator('GET', '/api/v1/agents/nobody?x=1')
    const last = (): Record<string, unknown>[] =>
      lines.filter(({ message }) => message === request).map(({ fields }) => fields)
    await expect.poll(() => last().length).toBe(4)
    expect(last().slice(2)).toMatchObject([
      { api: 'agents', method: 'POST', route: 'sync', status: 200, by: 'a1', address: '127.0.0.1' },
      {
        api: 'operators',
        method: 'GET',
        route: '/api/v1/agents/:agentId',
        status: 404,
        by: 'ada',
        code: 'agent_not_found',
      },
    ])
  })

  test('when a stream ends > it is logged then, as long as it lasted, whoever has its connection', async () => {
    const clock = createTestClock()
    await start({ clock, hub: { isAccessLogged: true } })
    const agent = await hub.enroll('a1')
    const stream = await agent.openStream()
    await stream.until(/retry: /)
    const logged = (): unknown[] =>
      lines.map(({ fields }) => fields).filter(({ route }) => route === 'events')
    expect(logged()).toEqual([])
    clock.advance(5_000)
    await stream[Symbol.asyncDispose]()
    await expect.poll(logged).toMatchObject([{ status: 200, by: 'a1', tookMs: 5_000 }])
  })
})
