/** Operators' tokens over real sockets: made, used, listed, over; refused at once, and their feeds ended. */
import { limits } from '@downlink/protocol'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createTestClock, type TestClock } from '../../testkit/src/test-clock.ts'
import { openRawStream, startHub, type HubFixture, type Reply } from '../test/hub-fixture.ts'

const TOKENS = '/api/v1/operator-tokens'
let clock: TestClock
let hub: HubFixture
beforeEach(async () => {
  clock = createTestClock()
  hub = await startHub({ clock })
})
afterEach(() => hub[Symbol.asyncDispose]())

const make = (body = {}, headers = {}): Promise<Reply> =>
  hub.operator('POST', TOKENS, { name: 'bob', scopes: ['read'], ...body }, headers)
const agentsStatus = async (token: string): Promise<number> => {
  const headers = { authorization: `Bearer ${token}` }
  return (await fetch(new URL('/api/v1/agents', hub.url), { headers })).status
}
const listed = async (id: string): Promise<Record<string, unknown> | undefined> => {
  const { items } = (await hub.operator('GET', TOKENS)).body as { items: Record<string, unknown>[] }
  return items.find((item) => item['id'] === id)
}

describe('given a token that an operator made', () => {
  test('when it is used, listed and revoked > it works, shows no secret, is refused at once, and its feed ends', async () => {
    const made = await make()
    expect(made.status).toBe(201)
    const { id, token, ...shown } = made.body
    expect(shown).toMatchObject({ name: 'bob', scopes: ['read'], state: 'usable', createdBy: 'ada' })
    expect(await agentsStatus(token)).toBe(200)
    await using feed = await openRawStream(new URL('/api/v1/events', hub.url), {
      authorization: `Bearer ${token as string}`,
    })
    await feed.until(/event: begin/)
    await using others = await openRawStream(new URL('/api/v1/events', hub.url), {
      authorization: `Bearer ${hub.token}`,
    })
    await others.until(/event: begin/)
    expect(JSON.stringify((await hub.operator('GET', TOKENS)).body)).not.toMatch(/"(token|hash)"/)

    expect((await hub.operator('DELETE', `${TOKENS}/${id}`)).status).toBe(204)
    expect(await agentsStatus(token)).toBe(401)
    await feed.ended
    expect((await hub.operator('DELETE', `${TOKENS}/${id}`)).status, 'revoking twice is one act').toBe(204)
    expect((await listed(id))?.['state']).toBe('revoked')
    const { items } = (await hub.operator('GET', '/api/v1/audit')).body as {
      items: Record<string, unknown>[]
    }
    const acts = items.filter(({ data }) => (data as { tokenId?: string }).tokenId === id)
    expect(acts.map(({ kind, data }) => [kind, data])).toEqual([
      ['operator_token.created', { tokenId: id, name: 'bob', scopes: ['read'], by: 'ada' }],
      ['operator_token.revoked', { tokenId: id, name: 'bob', scopes: ['read'], by: 'ada' }],
    ])
    expect((await make()).status).toBe(201)
    await hub.operator('POST', '/api/v1/enrollment-keys', {})
    expect(others.text, 'the feed of another token goes on').not.toContain('reset')
    const says = await fetch(new URL('/api/v1/agents', hub.url), {
      headers: { authorization: `Bearer ${token as string}` },
    })
    expect(await says.json(), 'whoever has the secret learns why').toMatchObject({
      error: 'unauthorized',
      message: 'This operator token was revoked. Ask for a new one.',
    })
  })

  test('when its time is over > it is refused, and shown as expired', async () => {
    const { id, token } = (await make({ ttlMs: 60_000 })).body
    expect(await agentsStatus(token)).toBe(200)
    clock.advance(60_000)
    expect(await agentsStatus(token)).toBe(401)
    expect((await listed(id))?.['state']).toBe('expired')
  })

  test('when it is used a thousand times > its last use is known to the hour, at the cost of one commit', async () => {
    const { id, token } = (await make()).body
    expect((await listed(id))?.['lastUsedAt']).toBeUndefined()
    let writes = 0
    const update = hub.store.update.bind(hub.store)
    hub.store.update = (bucket, key, change) => {
      if (key === id) writes++
      return update(bucket, key, change)
    }
    for (let n = 0; n < 1_000; n += 50) {
      await Promise.all(Array.from({ length: 50 }, () => agentsStatus(token)))
    }
    const hour = new Date(clock.wallMs() - (clock.wallMs() % limits.TOKEN_USE_RECORD_MS)).toISOString()
    await expect.poll(async () => (await listed(id))?.['lastUsedAt']).toBe(hour)
    expect(writes, 'a request must not cost a commit').toBe(1)
    clock.advance(limits.TOKEN_USE_RECORD_MS)
    await agentsStatus(token)
    expect(writes).toBe(2)
  })
})

describe('given an Idempotency-Key', () => {
  const key = { 'idempotency-key': 'k1' }
  test('when the reply was lost > asking again gives the same token a new text, and voids the first', async () => {
    const first = await make({}, key)
    const again = await make({}, key)
    expect([first.status, again.status, again.body.id]).toEqual([201, 200, first.body.id])
    expect(await agentsStatus(first.body.token as string)).toBe(401)
    expect(await agentsStatus(again.body.token as string)).toBe(200)
  })

  test('when something else is asked under it, or it was used since > 409', async () => {
    const { token } = (await make({}, key)).body
    expect((await make({ name: 'eve' }, key)).body.error).toBe('idempotency_conflict')
    await agentsStatus(token)
    await expect.poll(async () => (await make({}, key)).status).toBe(409)
  })
})

test('given a token that cannot be > it is refused', async () => {
  const bad = [
    { name: '' },
    { name: 'x'.repeat(65) },
    { scopes: [] },
    { scopes: ['root'] },
    { ttlMs: 0 },
    { uses: 1 },
  ]
  for (const body of bad) expect((await make(body)).status, JSON.stringify(body)).toBe(400)
})
