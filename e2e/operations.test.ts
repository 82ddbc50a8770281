/** The operations that the other end-to-end tests have no use for, so that every one of both APIs is held against its document. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type JsonObject } from '@downlink/protocol'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { closedDocument } from '../packages/testkit/src/exchanges/api-document.ts'
import { startDownlink, type DownlinkProcess } from './downlink-process.ts'

let folder: string
let hub: DownlinkProcess
let url: string
let operatorToken: string
let agentKey: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downlink-operations-'))
  hub = startDownlink(folder, ['hub', '--port', '0', '--data', '.'])
  await hub.prints(/operator token/)
  url = /http:\S+/.exec(hub.text())?.[0] ?? ''
  operatorToken = (await readFile(join(folder, 'operator-token'), 'utf8')).trim()
  const { key } = await created('/api/v1/enrollment-keys', { labels: { site: 'x' } })
  const exchange = { authKey: key, agentId: 'a1' }
  agentKey = String((await json(await ask('POST', '/api/internal/agent/authkey/exchange', exchange))).apiKey)
})

afterAll(async () => {
  await hub.stop()
  await rm(folder, { recursive: true, force: true })
})

/** @throws unless it is answered with a success. */
async function ask(method: string, path: string, body?: object, token = operatorToken): Promise<Response> {
  const response = await fetch(url + path, {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  if (!response.ok)
    throw new Error(`${method} ${path} was answered ${response.status}: ${await response.text()}`)
  return response
}

async function json(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>
}

async function created(path: string, body: object): Promise<Record<string, unknown>> {
  return json(await ask('POST', path, body))
}

test('given the documents of the hub > it serves the one that is committed, and the page of it', async () => {
  const committed = JSON.parse(
    await readFile(new URL('../etc/openapi.json', import.meta.url), 'utf8'),
  ) as unknown
  expect(await json(await ask('GET', '/openapi.json'))).toEqual(committed)
  expect(await (await ask('GET', '/docs')).text()).toContain('listAgents')
  expect(await (await ask('GET', '/metrics')).text()).toContain('downlink_')
})

test('given keys and tokens > they are listed, and gone once they are revoked', async () => {
  for (const [path, body] of [
    ['/api/v1/enrollment-keys', { uses: 2 }],
    ['/api/v1/operator-tokens', { name: 'ada', scopes: ['read'] }],
  ] as const) {
    const { id } = await created(path, body)
    expect(await json(await ask('GET', path))).toMatchObject({
      items: expect.arrayContaining([expect.objectContaining({ id, state: 'usable' })]),
    })
    expect((await ask('DELETE', `${path}/${String(id)}`)).status).toBe(204)
  }
})

test('given a task that was started > it is shown', async () => {
  await created('/api/v1/agents/a1/tasks', { kind: 'backup', taskId: 'nightly' })
  const task = { taskId: 'nightly', state: 'assigned' }
  expect(await json(await ask('GET', '/api/v1/agents/a1/tasks/nightly'))).toMatchObject(task)
})

test('given controls for several agents > each is listed and told on the feed', async () => {
  const items = [
    { agentId: 'a1', action: 'pause', taskId: 't1' },
    { agentId: 'nobody', action: 'pause', taskId: 't1' },
  ]
  const several = await created('/api/v1/controls', { items })
  expect(several).toMatchObject({ items: [{ agentId: 'a1' }, { error: 'agent_not_found' }] })
  const broadcast = { selector: { label: 'site=x' }, action: 'pause', taskId: 't2' }
  expect(await created('/api/v1/controls', broadcast)).toMatchObject({ items: [{ agentId: 'a1' }] })
  expect(await json(await ask('GET', '/api/v1/agents/a1/controls'))).toMatchObject({ items: [{}, {}] })
  const feed = await ask('GET', '/api/v1/events?after=0')
  const reader = feed.body?.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes('event: control')) text += (await reader?.read())?.value ?? ''
  await reader?.cancel()
})

test('given an agent that comes and says good-bye > the feed shows both, and its frames are as documented', async () => {
  const document = JSON.parse(
    await readFile(new URL('../etc/openapi.json', import.meta.url), 'utf8'),
  ) as JsonObject
  const ajv = new Ajv2020({ strict: false })
  addFormats.default(ajv)
  ajv.addSchema(closedDocument(document), 'hub')
  let text = ''
  const openFeed = async (query: string) => {
    const { body } = await ask('GET', `/api/v1/events${query}`)
    const reader = body?.pipeThrough(new TextDecoderStream()).getReader()
    return {
      async until(pattern: RegExp): Promise<void> {
        while (!pattern.test(text)) {
          const { done = true, value } = (await reader?.read()) ?? {}
          if (done) throw new Error(`The feed ended before ${String(pattern)}. It held: ${text}`)
          text += value
        }
      },
      close: () => reader?.cancel(),
    }
  }
  const fresh = await openFeed('')
  await fresh.until(/^event: begin\n[^]*\n\n/m)
  await fresh.close()
  const feed = await openFeed('?after=0')
  await feed.until(/^event: control$/m)
  await ask('POST', '/api/internal/agent/sync', { agentId: 'a1', tasks: [], freeSlots: 1 }, agentKey)
  await feed.until(/^event: agent\ndata: .*"status":"online".*\n\n/m)
  await ask('POST', '/api/internal/agent/deregister', { agentId: 'a1' }, agentKey)
  await feed.until(/"status":"online"[^]*^event: agent\ndata: .*"status":"offline".*\n\n/m)
  await feed.close()
  // No fact of this hub has that place.
  const ahead = await openFeed('?after=999999')
  await ahead.until(/^event: reset\n[^]*\n\n/m)
  await ahead.close()
  const frames = [...text.matchAll(/^data: (.*)\n\n/gm)]
  for (const [, data = ''] of frames) {
    const isAsDocumented = ajv.validate('hub#/components/schemas/FeedEvent', JSON.parse(data))
    expect(isAsDocumented, `${data}: ${ajv.errorsText()}; mend feedEvent in reply-schemas.ts`).toBe(true)
  }
})

test('given an agent that is kept from its work (R-33) > it is shown as blocked', async () => {
  const blockedBy = 'journal_unavailable'
  const sync = { agentId: 'a1', tasks: [], freeSlots: 1, journalId: 'j1', blockedBy }
  await ask('POST', '/api/internal/agent/sync', sync, agentKey)
  expect(await json(await ask('GET', '/api/v1/agents/a1'))).toMatchObject({ status: 'blocked', blockedBy })
})

test('given the reports of an original (R-43), and a good-bye > all of them are a success', async () => {
  const asAgent = async (path: string, body: object): Promise<Record<string, unknown>> =>
    json(await ask('POST', `/api/internal/agent/${path}`, body, agentKey))
  const update = { taskId: 't1', status: 'downloading', progress: 0.5, updatedAt: 0 }
  expect(await asAgent('status', update)).toMatchObject({ results: [{ success: true }] })
  expect(await asAgent('status', { updates: [update, update] })).toMatchObject({ results: [{}, {}] })
  const decision = { taskId: 't1', agentId: 'a1', action: 'cancel', deleteFiles: true }
  expect(await asAgent('task-control', decision)).toEqual({ success: true })
  expect(await asAgent('deregister', { agentId: 'a1' })).toEqual({ success: true })
})

test('given an agent with a stream > it is nudged alone, and with all of its label (R-54)', async () => {
  const path = '/api/internal/agent/events'
  const reader = (await ask('GET', path, undefined, agentKey)).body
    ?.pipeThrough(new TextDecoderStream())
    .getReader()
  let text = ''
  const nudges = async (count: number): Promise<void> => {
    while (text.split(/^event: sync$/m).length <= count) text += (await reader?.read())?.value ?? ''
  }
  // What is open already leads to the first.
  await nudges(1)
  await ask('POST', '/api/v1/agents/a1/sync')
  await nudges(2)
  const all = { selector: { label: 'site=x' }, withinMs: 1_000 }
  expect(await created('/api/v1/sync', all)).toEqual({ nudged: 1, withinMs: 1_000 })
  await nudges(3)
  await reader?.cancel()
})
