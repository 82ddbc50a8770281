import { limits } from '@downlink/protocol'
import { describe, expect, test } from 'vitest'
import { createTestClock } from '../../testkit/src/test-clock.ts'
import { createBoot } from './boot.ts'
import { createAgentClient, type AgentClientOptions } from './client.ts'
import { retryAfterMs } from './http/http-failure.ts'

function clientOf(hub: string, options: Partial<AgentClientOptions> = {}) {
  const boot = createBoot((size) => new Uint8Array(size).fill(0xab))
  return createAgentClient({
    hubs: [hub],
    credential: () => 'key',
    boot,
    clock: createTestClock(),
    ...options,
  })
}

describe('given the URL of a hub', () => {
  test.each([
    ['https://hub.example.com', 'https://hub.example.com/'],
    ['https://hub.example.com:8443/downlink//', 'https://hub.example.com:8443/downlink'],
    ['http://127.0.0.1:7077', 'http://127.0.0.1:7077/'],
    ['http://127.9.8.7', 'http://127.9.8.7/'],
    ['http://2130706433/', 'http://127.0.0.1/'],
    ['http://[::1]:7077', 'http://[::1]:7077/'],
    ['http://LOCALHOST:7077', 'http://localhost:7077/'],
  ])('when it is %s > it is taken', async (hub, href) => {
    await using client = clientOf(hub)
    expect(client.mirrors.current.href).toBe(href)
  })

  test.each([
    'http://hub.example.com',
    'http://10.0.0.1',
    'http://localhost.example.com',
    'http://127.0.0.1.example.com',
    'http://[::ffff:10.0.0.1]',
    'http://0.0.0.0',
  ])('when it is %s > it is refused as insecure, unless that is allowed', async (hub) => {
    expect(() => clientOf(hub)).toThrow(expect.objectContaining({ code: 'insecure_hub', retry: 'never' }))
    await using client = clientOf(hub, { allowPlainHttp: true })
    expect(client.mirrors.current.protocol).toBe('http:')
  })

  test.each([
    'hub.example.com',
    'ftp://hub.example.com',
    'https://user@hub.example.com',
    'https://:s3cret@hub.example.com',
    'https://hub.example.com/?token=s3cret',
    'https://hub.example.com/#s3cret',
    'https://s3cret:x',
  ])('when it is %s > it is refused, and its secrets are not shown', (hub) => {
    const refused = expect.objectContaining({
      code: 'bad_hub_url',
      message: expect.not.stringContaining('s3cret') as string,
    })
    expect(() => clientOf(hub)).toThrow(refused)
  })

  test('when the user agent cannot stand in a header > it is refused', () => {
    expect(() => clientOf('https://hub.example.com', { userAgent: 'a\r\nb: c' })).toThrow(TypeError)
  })
})

describe('given a boot', () => {
  test('when requests are counted > the nonce stays and the counter grows', () => {
    const boot = createBoot((size) => new Uint8Array(size).fill(0xab))
    const bootNonce = 'ab'.repeat(16)
    expect(boot.nonce).toBe(bootNonce)
    expect([boot.next(), boot.next()]).toEqual([
      { bootNonce, connectCounter: 1 },
      { bootNonce, connectCounter: 2 },
    ])
  })
})

describe('given a Retry-After', () => {
  const nowMs = Date.parse('Wed, 21 Oct 2026 07:28:00 GMT')

  test.each([
    ['0', 0],
    [' 7 ', 7_000],
    ['9999999999', limits.RETRY_MS_MAX],
    ['Wed, 21 Oct 2026 07:28:30 GMT', 30_000],
    ['Wed, 21 Oct 2020 07:28:30 GMT', 0],
    ['Wed, 21 Oct 2099 07:28:30 GMT', limits.RETRY_MS_MAX],
    ['-1', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['Someday GMT', undefined],
    ['', undefined],
  ])('when it is %j > the wait is %j', (value, waitMs) => {
    expect(retryAfterMs({ 'retry-after': value }, nowMs)).toBe(waitMs)
  })

  test('when this machine has the wrong time > a date is read by the clock of the server', () => {
    const date = 'Wed, 21 Oct 2026 07:28:00 GMT'
    const headers = { 'retry-after': 'Wed, 21 Oct 2026 07:28:10 GMT', date }
    expect(retryAfterMs(headers, nowMs + 86_400_000)).toBe(10_000)
    expect(retryAfterMs({}, nowMs)).toBeUndefined()
  })
})
