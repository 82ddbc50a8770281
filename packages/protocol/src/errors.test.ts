/** Error codes and classes: what programs may rely on. */
import { describe, expect, test } from 'vitest'
import { DownlinkError, ERROR_CODES, HttpError, retryOf } from './errors.ts'

describe('given error codes (R-70)', () => {
  test.each([
    ['invalid', 401],
    ['expired', 409],
    ['used', 409],
    ['revoked', 409],
    ['agent_key_mismatch', 403],
    ['agent_revoked', 410],
    ['agent_version_too_old', 412],
    ['key_retired', 401],
    ['agent_hash_taken', 409],
    ['task_cancelling', 409],
    ['idempotency_conflict', 409],
    ['outcome_unknown', 503],
  ] as const)('%s > is answered with %i, as originals and operators expect', (code, status) => {
    expect(ERROR_CODES[code].status).toBe(status)
  })

  test('410 and agent_key_mismatch > are the only two that make an original wipe its key', () => {
    const wiping = Object.entries(ERROR_CODES).filter(
      ([code, { status }]) => status === 410 || code === 'agent_key_mismatch',
    )
    expect(wiping.map(([code]) => code).toSorted()).toEqual(['agent_key_mismatch', 'agent_revoked'])
  })

  test('what is sure to fail again > is not tried again; a busy or failing hub is', () => {
    for (const [code, { status, retry }] of Object.entries(ERROR_CODES)) {
      if (status >= 500 && status !== 501) expect(retry, code).toBe('backoff')
      if ([400, 401, 403, 404, 410, 413].includes(status)) expect(retry, code).toBe('never')
    }
  })

  test.each(['toString', '__proto__', 'constructor', 'never_heard_of'])(
    '%s > is worth another try',
    (code) => {
      expect(retryOf(code)).toBe('backoff')
    },
  )
})

describe('given an error', () => {
  test('its code > says what may be done, unless it is told otherwise', () => {
    expect(new DownlinkError('draining', 'x').retry).toBe('backoff')
    expect(new DownlinkError('bad_json', 'x').retry).toBe('never')
    expect(new DownlinkError('bad_json', 'x', { retry: 'resync' }).retry).toBe('resync')
  })

  test('its cause > is kept, and absent if there is none', () => {
    const cause = new Error('why')
    expect(new DownlinkError('internal', 'x', { cause }).cause).toBe(cause)
    expect(new DownlinkError('internal', 'x')).not.toHaveProperty('cause')
  })

  test('of a reply > knows status, body and how long to wait', () => {
    const error = new HttpError(503, 'draining', 'The hub is draining.', { body: '{}', retryAfterMs: 500 })
    expect(error).toBeInstanceOf(DownlinkError)
    expect(error).toMatchObject({
      name: 'HttpError',
      status: 503,
      code: 'draining',
      body: '{}',
      retryAfterMs: 500,
      retry: 'backoff',
    })
    expect(new HttpError(500, 'internal', 'x').retryAfterMs).toBeUndefined()
    expect(new HttpError(500, 'internal', 'x').body).toBe('')
  })
})
