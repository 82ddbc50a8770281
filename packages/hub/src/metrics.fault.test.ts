/** The metrics of a hub over real sockets: what each counts, that the document has the same, who may read them. */
import { readFileSync } from 'node:fs'
import { limits } from '@downlink/protocol'
import { expect, test } from 'vitest'
import { boot, ours, startHub, type HubFixture } from '../test/hub-fixture.ts'

type Values = ReadonlyMap<string, number>

async function scrape(hub: HubFixture): Promise<{ readonly text: string; readonly values: Values }> {
  const reply = await fetch(new URL('/metrics', hub.url), {
    headers: { authorization: `Bearer ${hub.token}` },
  })
  expect(reply.status).toBe(200)
  expect(reply.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  const text = await reply.text()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const sample = /^(?<name>[a-z_]+(?:\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})?) (?<value>[\d.e+-]+)$/
  const values = new Map<string, number>()
  for (const line of lines) {
    const { name = '', value } = sample.exec(line)?.groups ?? {}
    expect(value, `this line is not in the text format: ${line}`).toBeDefined()
    expect(values.has(name), `${name} stands there twice`).toBe(false)
    values.set(name, Number(value))
  }
  return { text, values }
}

const DOCUMENT = readFileSync(new URL('../../../docs/metrics.md', import.meta.url), 'utf8')

test('given the metrics and their document > both list the same names, each with its type and unit', async () => {
  await using hub = await startHub()
  const { text } = await scrape(hub)
  const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => ({
    name,
    type,
  }))
  const documented = [...DOCUMENT.matchAll(/^\| `(downlink_[a-z_]+)` +\|/gm)].map(([, name = '']) => name)
  const names = types.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  expect(documented.toSorted(), 'docs/metrics.md and hub-metrics.ts must list the same').toEqual(
    names.toSorted(),
  )
  for (const { name, type } of types) {
    if (type === 'counter') expect(name).toMatch(/_total$/)
    if (type === 'histogram') expect(name).toMatch(/_(seconds|documents)$/)
    expect(text, `${name} has no help`).toMatch(new RegExp(`^# HELP ${name} [A-Z0-9].*\\.$`, 'm'))
  }
})

test('given a control from creation to observed > streams, syncs, commits, controls and requests are counted', async () => {
  await using hub = await startHub()
  const agent = await hub.enroll('a1')
  const task = { taskId: 't1', kind: 'k', status: 'running', progress: 0, updatedAt: 1 }
  await agent.sync(ours(1, { tasks: [task] }))
  const stream = await agent.openStream(boot('boot-1', 2))
  await stream.until(/connected/)
  const made = await hub.operator('POST', '/api/v1/agents/a1/controls', { action: 'cancel', taskId: 't1' })
  await stream.until(/event: command/)
  const open = (await scrape(hub)).values
  expect(open.get('downlink_controls_open')).toBe(1)
  expect(open.get('downlink_agents{status="online",transport="stream"}')).toBe(1)
  expect(open.get('downlink_streams_open')).toBe(1)
  const { controlId, epoch, revision } = made.body
  const outcomes = [{ controlId, epoch, revision, state: 'applied' }]
  await agent.sync(ours(3, { tasks: [{ ...task, status: 'cancelled' }], outcomes }))
  await agent.openStream(boot('boot-1', 4))
  await stream.ended
  await hub.operator('GET', '/api/v1/agents/nobody')
  await hub.operator('GET', '/api/v1/nothing')

  const { text, values } = await scrape(hub)
  const expected: Record<string, number> = {
    downlink_controls_created_total: 1,
    'downlink_controls_settled_total{outcome="applied"}': 1,
    downlink_controls_open: 0,
    'downlink_control_seconds_count{stamp="written"}': 1,
    'downlink_control_seconds_count{stamp="applied"}': 1,
    'downlink_control_seconds_count{stamp="observed"}': 1,
    downlink_streams_accepted_total: 2,
    'downlink_streams_ended_total{reason="displaced"}': 1,
    downlink_sync_seconds_count: 2,
    'downlink_requests_total{api="agents",route="sync",status="2xx"}': 2,
    'downlink_requests_total{api="operators",route="/api/v1/agents/:agentId/controls",status="2xx"}': 1,
    'downlink_requests_total{api="operators",route="/api/v1/agents/:agentId",status="4xx"}': 1,
    'downlink_requests_total{api="operators",route="none",status="4xx"}': 1,
    'downlink_refusals_total{code="agent_not_found"}': 1,
    'downlink_refusals_total{code="not_found"}': 1,
    downlink_draining: 0,
    'downlink_store_failures_total{operation="commit"}': 0,
  }
  for (const [name, value] of Object.entries(expected)) expect(values.get(name), name).toBe(value)
  for (const name of [
    'downlink_stream_frames_total',
    'downlink_stream_bytes_total',
    'downlink_commit_seconds_count',
  ]) {
    expect(values.get(name), name).toBeGreaterThan(1)
  }
  expect(values.get('downlink_process_memory_bytes{kind="resident"}')).toBeGreaterThan(10_000_000)
  expect(text, 'a label must not grow with the fleet').not.toMatch(/a1|ada|nobody|t1/)
})

test('given polls, a revoked agent and one who asks too often > they are counted', async () => {
  await using hub = await startHub({ hub: { agentRequestsPerS: 1, wakeHoldMs: 10 } })
  const agent = await hub.enroll('a1')
  await agent.sync()
  expect((await agent.wake()).body).toEqual({ wake: false })
  const statuses: number[] = []
  for (let n = 0; n < 2 * limits.REQUESTS_BURST_S; n++) statuses.push((await agent.wake()).status)
  expect(statuses).toContain(429)
  await hub.operator('DELETE', '/api/v1/agents/a1')
  await hub.agent('a1', 'wrong').sync()
  const { values } = await scrape(hub)
  expect(values.get('downlink_polls_answered_total{wake="false"}')).toBe(
    statuses.filter((s) => s === 200).length + 1,
  )
  expect(values.get('downlink_rate_limited_total{by="agent"}')).toBe(statuses.filter((s) => s === 429).length)
  expect(values.get('downlink_refusals_total{code="unauthorized"}')).toBe(1)
  expect(
    [...values.keys()].filter((name) => name.startsWith('downlink_agents')),
    'nobody waits for it',
  ).toEqual([])
})

test('given no token, or one without the scope > refused, unless the hub was told that all may read', async () => {
  await using hub = await startHub({ scopes: ['control'] })
  expect((await fetch(new URL('/metrics', hub.url))).status).toBe(401)
  expect((await hub.operator('GET', '/metrics')).status).toBe(403)
  await using open = await startHub({ hub: { areMetricsOpen: true } })
  expect((await fetch(new URL('/metrics', open.url))).status).toBe(200)
})
