/** Tests of what the operators' client decides before and between requests. */
import { DownlinkError, HttpError, limits, type ControlRecord } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { retryDelayMs } from './backoff.ts'
import { controlReached, type ControlUntil } from './control-wait.ts'
import { createOperatorClient } from './index.ts'

function codeOf(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    return error instanceof DownlinkError ? `${error.code}: ${error.message}` : String(error)
  }
  return 'no error'
}

test.each([
  ['not a URL', 'hub.example.com', 'bad_hub_url'],
  ['a password', 'https://ann:hunter2@hub.example.com', 'bad_hub_url'],
  ['a query', 'https://hub.example.com?x=1', 'bad_hub_url'],
  ['another scheme', 'ftp://hub.example.com', 'bad_hub_url'],
  ['plain HTTP to another machine', 'http://hub.example.com', 'insecure_hub'],
])('given a hub URL that is or has %s > it is refused', (_, url, code) => {
  const said = codeOf(() => createOperatorClient({ url, token: 'dlo.x.y' }))
  expect(said).toContain(code)
  expect(said).not.toContain('hunter2')
})

test('given plain HTTP was allowed, or the hub is on this machine > the client is made', () => {
  const options = { token: 'dlo.x.y' }
  createOperatorClient({ ...options, url: 'http://hub.example.com/base/', allowPlainHttp: true })
  for (const host of ['127.0.0.1:1', 'localhost', '[::1]:8787']) {
    expect(createOperatorClient({ ...options, url: `http://${host}` }).url.protocol).toBe('http:')
  }
})

test.each(['', 'secret\n', 'sec ret', 'sécret'])(
  'given the token %j > it is refused and not shown',
  (token) => {
    const said = codeOf(() => createOperatorClient({ url: 'http://127.0.0.1', token }))
    expect(said).toContain('bad_token')
    expect(said).not.toMatch(/s[eé]c/)
  },
)

test('given failures > only passing ones are tried again, with full jitter below a ceiling that doubles', () => {
  const unreachable = new DownlinkError('hub_unreachable', 'x')
  expect(retryDelayMs(unreachable, 1, 0.5)).toBe(100)
  expect(retryDelayMs(unreachable, 3, 0.5)).toBe(400)
  expect(retryDelayMs(unreachable, limits.CLIENT_ATTEMPTS_MAX, 0)).toBeUndefined()
  expect(retryDelayMs(new HttpError(503, 'draining', 'x', { retryAfterMs: 1_000 }), 1, 0)).toBe(1_000)
  expect(retryDelayMs(new HttpError(409, 'mailbox_full', 'x'), 1, 0)).toBeUndefined()
  expect(retryDelayMs(new HttpError(500, 'internal', 'x'), 1, 0)).toBeUndefined()
  expect(retryDelayMs(new DownlinkError('bad_reply', 'x'), 1, 0)).toBeUndefined()
  expect(retryDelayMs(new TypeError('bug'), 1, 0)).toBeUndefined()
})

const stamp = { at: '2026-01-01T00:00:00.000Z', by: 'agent' }
const base = {
  controlId: 'a1~1',
  agentId: 'a1',
  taskId: 't1',
  action: 'pause',
  args: null,
  epoch: 1,
  revision: 1,
  lane: 'state',
  stamps: {},
} as const

test.each<[string, Partial<ControlRecord>, ControlUntil, string]>([
  ['pending', { outcome: { state: 'pending' } }, 'accepted', 'yes'],
  ['pending', { outcome: { state: 'pending' } }, 'applied', 'not-yet'],
  ['failed', { outcome: { state: 'failed', code: 'x', message: '' } }, 'accepted', 'never'],
  ['expired', { outcome: { state: 'expired' } }, 'observed', 'never'],
  ['superseded', { outcome: { state: 'superseded', byControlId: 'b' } }, 'applied', 'never'],
  ['unconfirmed', { outcome: { state: 'delivered' }, unconfirmed: true }, 'observed', 'never'],
  ['applied', { outcome: { state: 'applied', confirmedBy: 'agent' } }, 'applied', 'yes'],
  ['applied', { outcome: { state: 'applied', confirmedBy: 'agent' } }, 'observed', 'not-yet'],
  [
    'applied, to a task that ended otherwise',
    { outcome: { state: 'applied', confirmedBy: 'agent' }, endedOtherwise: true },
    'observed',
    'never',
  ],
  [
    'observed',
    { outcome: { state: 'applied', confirmedBy: 'agent' }, stamps: { observed: stamp } },
    'observed',
    'yes',
  ],
  [
    'applied, of its own verb',
    { action: 'speed', outcome: { state: 'applied', confirmedBy: 'agent' } },
    'observed',
    'yes',
  ],
])('given a control that is %s > whether it has reached its end is known', (_, part, until, reached) => {
  expect(controlReached({ ...base, outcome: { state: 'pending' }, ...part }, until)).toBe(reached)
})
