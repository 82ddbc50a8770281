/** An agent that imports nothing of ours against a real hub: it is served unchanged, and every control settles. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ControlRecord, Page, TaskRecord } from '@downlink/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startChild, type Child } from '../packages/testkit/src/kills/child.ts'
import { ask, type HubAddress } from '../packages/testkit/src/kills/operator.ts'
import { startOriginal, type OriginalProcess, type Seen } from './original-process.ts'

const SYNC_MS = 400

/** A hub as a process on data of its own. */
class HubProcess implements AsyncDisposable {
  readonly address: HubAddress = { url: '', token: '' }
  readonly #folder: string
  #child: Child | undefined

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async start(): Promise<HubProcess> {
    const hub = new HubProcess(await mkdtemp(join(tmpdir(), 'downlink-original-')))
    await hub.run()
    return hub
  }

  /** On the same data and, from the second time on, the same port. */
  async run(): Promise<void> {
    const port = this.address.url === '' ? '0' : new URL(this.address.url).port
    this.#child = startChild('./hub-process.ts', ['--directory', this.#folder, '--port', port])
    const { url, token } = await this.#child.ready
    Object.assign(this.address, { url, token })
  }

  /** By SIGKILL. */
  async kill(): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** One original and its operator. */
class Pair implements AsyncDisposable {
  readonly agent: OriginalProcess
  readonly #hub: HubAddress
  readonly #agentId: string

  private constructor(hub: HubAddress, agentId: string, agent: OriginalProcess) {
    this.#hub = hub
    this.#agentId = agentId
    this.agent = agent
  }

  static async start({ address }: HubProcess, agentId: string, syncMs = SYNC_MS): Promise<Pair> {
    const { json } = await ask(address, 'POST', 'api/v1/enrollment-keys', {})
    const { key } = json as { key: string }
    const body = JSON.stringify({ authKey: key, agentId })
    const url = new URL('api/internal/agent/authkey/exchange', address.url)
    const headers = { 'content-type': 'application/json' }
    const reply = await fetch(url, { method: 'POST', headers, body })
    const { apiKey } = (await reply.json()) as { apiKey: string }
    return new Pair(address, agentId, startOriginal(address.url, apiKey, agentId, syncMs))
  }

  /** Makes a task and waits until the agent lists it as its own. */
  async running(taskId: string): Promise<void> {
    await this.#ask('POST', `agents/${this.#agentId}/tasks`, { kind: 'download', taskId })
    await this.agent.until(`it lists ${taskId}`, (seen) => seen.some((line) => lists(line, taskId)))
  }

  async issue(action: string, taskId: string): Promise<ControlRecord> {
    const { status, json } = await this.#ask('POST', `agents/${this.#agentId}/controls`, { action, taskId })
    if (status !== 201) throw new Error(`${action} was refused: ${status} ${JSON.stringify(json)}`)
    return json as ControlRecord
  }

  /** The control once it is settled, or will not settle any more. */
  async settled({ controlId }: ControlRecord): Promise<ControlRecord> {
    const path = `controls/${encodeURIComponent(controlId)}?wait=50s&until=applied`
    return (await this.#ask('GET', path)).json as ControlRecord
  }

  async state(taskId: string): Promise<string | undefined> {
    const { items } = (await this.#ask('GET', `agents/${this.#agentId}/tasks`)).json as Page<TaskRecord>
    return items.find((task) => task.taskId === taskId)?.state
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]()
  }

  #ask(method: string, path: string, body?: unknown): Promise<{ status: number; json: unknown }> {
    return ask(this.#hub, method, `api/v1/${path}`, body)
  }
}

const lists = ({ reported = [] }: Seen, taskId: string): boolean =>
  reported.some((task) => task.taskId === taskId && task.status === 'downloading')
const offers = ({ reply }: Seen, taskId: string): boolean =>
  reply?.newTasks.some((task) => task.id === taskId) ?? false
const brings =
  (action: string) =>
  ({ control }: Seen): boolean =>
    control?.action === action
const observed = { state: 'applied', confirmedBy: 'observation' }

describe.concurrent('given a hub and an original', () => {
  let hub: HubProcess
  beforeAll(async () => void (hub = await HubProcess.start()))
  afterAll(() => hub[Symbol.asyncDispose]())

  test('it connects > preamble, pings and a sync event, and every reply has the three fields', async () => {
    await using pair = await Pair.start(hub, 'o-stream')
    const { agent } = pair
    await agent.until('the first heartbeat', (seen) => seen.some(({ ping }) => ping?.startsWith(': hb ')))
    const stream = agent.seen.filter((line) => line.ignored ?? line.ping)
    expect(stream.slice(0, 2)).toEqual([{ ignored: 'retry: 2000' }, { ping: ': connected hb=100' }])
    await pair.running('t1')
    const nudge = agent.seen.find(({ event }) => event === 'sync')
    expect(JSON.parse(nudge?.data ?? 'null')).toEqual({ reason: 'wake' })
    for (const { reply } of agent.seen) {
      if (reply === undefined) continue
      expect(reply).toMatchObject({ controls: expect.any(Array), newTasks: expect.any(Array) })
      expect(reply.watching, 'always say whether somebody watches').toBeTypeOf('boolean')
    }
  })

  test('cancel > pushed, handed out until the task is missing twice, then shown as cancelled', async () => {
    await using pair = await Pair.start(hub, 'o-cancel')
    await pair.running('t1')
    const cancel = await pair.issue('cancel', 't1')
    const pushed = await pair.agent.until('the push', (seen) => seen.find((line) => line.event === 'command'))
    expect(JSON.parse(pushed.data ?? '')).toMatchObject({ controls: [{ action: 'cancel', taskId: 't1' }] })
    const settled = await pair.settled(cancel)
    expect(settled.outcome).toEqual(observed)
    expect(settled.stamps.observed).toBeDefined()
    expect(await pair.state('t1')).toBe('cancelled')
    const since = pair.agent.seen.indexOf(pushed)
    const [first, second] = await pair.agent.until('two syncs without the task', (seen) => {
      const missing = seen.slice(since).filter(({ reported }) => reported?.length === 0)
      return missing.length >= 2 && missing
    })
    expect(first?.reply?.controls, 'one sync without the task proves nothing').toMatchObject([
      { action: 'cancel', taskId: 't1' },
    ])
    expect(second?.reply?.controls).toEqual([])
    expect(pair.agent.seen.slice(since).some((line) => offers(line, 't1'))).toBe(false)
  })

  test('pause, then resume > gone, not cancelled; the task comes again with the resume, and settles it', async () => {
    await using pair = await Pair.start(hub, 'o-pause')
    await pair.running('t1')
    const pause = await pair.issue('pause', 't1')
    expect((await pair.settled(pause)).outcome).toEqual(observed)
    expect(await pair.state('t1')).toBe('gone')
    const before = pair.agent.seen.length
    const resume = await pair.issue('resume', 't1')
    expect((await pair.settled(resume)).outcome).toEqual(observed)
    const offered = pair.agent.seen.slice(before).filter((line) => offers(line, 't1'))
    expect(offered, 'once is enough for one that starts it').toHaveLength(1)
    expect(offered[0]?.reply?.controls).toMatchObject([{ action: 'resume', taskId: 't1' }])
    expect(await pair.state('t1')).toBe('running')
  })

  test('resume of an agent that is full > at most once in ten seconds, then settled once it is active', async () => {
    await using pair = await Pair.start(hub, 'o-full')
    await pair.running('t1')
    await pair.settled(await pair.issue('pause', 't1'))
    for (const taskId of ['own-1', 'own-2']) await pair.agent.set(taskId, 'downloading')
    await pair.agent.until('it is full', (seen) => seen.some((line) => lists(line, 'own-2')))
    const before = pair.agent.seen.length
    const resume = await pair.issue('resume', 't1')
    const syncsSince = (seen: readonly Seen[]): readonly Seen[] =>
      seen.slice(before).filter((line) => line.reply)
    await pair.agent.until('five more syncs', (seen) => {
      const syncs = syncsSince(seen)
      const first = syncs.findIndex((line) => offers(line, 't1'))
      return first >= 0 && syncs.length > first + 5
    })
    await pair.agent.set('own-1', 'completed')
    expect((await pair.settled(resume)).outcome).toEqual(observed)
    const at = syncsSince(pair.agent.seen).flatMap((line, index) => (offers(line, 't1') ? [index] : []))
    expect(at, 'handing it out in each sync would make it sync for ever').toHaveLength(2)
    expect((at[1] ?? 0) - (at[0] ?? 0)).toBeGreaterThan(5)
    const resumes = pair.agent.seen.filter(brings('resume'))
    expect(resumes).toHaveLength(2)
  })

  test('a verb of the application > delivered once, on record as unconfirmed', async () => {
    await using pair = await Pair.start(hub, 'o-verb')
    await pair.running('t1')
    const boost = await pair.issue('boost', 't1')
    expect(await pair.settled(boost)).toMatchObject({ outcome: { state: 'delivered' }, unconfirmed: true })
    const first = await pair.agent.until('the verb', (seen) => {
      const index = seen.findIndex(brings('boost'))
      return index >= 0 && index
    })
    await pair.agent.until('three more syncs', (seen) => seen.slice(first).filter((l) => l.reply).length > 3)
    expect(pair.agent.seen.filter(brings('boost')), 'nobody could tell a second time').toHaveLength(1)
  })

  test.each(['cancel', 'pause', 'resume'])(
    'a task that finishes before its %s > already_finished',
    async (action) => {
      await using pair = await Pair.start(hub, `o-finished-${action}`, 1_500)
      await pair.running('t1')
      const before = pair.agent.seen.length
      await pair.agent.until('a sync', (seen) => seen.slice(before).some((line) => line.reply))
      await pair.agent.set('t1', 'completed')
      const control = await pair.issue(action, 't1')
      expect((await pair.settled(control)).outcome).toMatchObject({
        state: 'failed',
        code: 'already_finished',
      })
      expect(await pair.state('t1'), 'completed always wins').toBe('completed')
      expect(pair.agent.seen.slice(before).some((line) => offers(line, 't1'))).toBe(false)
    },
  )

  test('the hub is killed (-9) with controls open > all of them settle after its start, nothing is lost', async () => {
    await using own = await HubProcess.start()
    await using pair = await Pair.start(own, 'o-kill')
    const { agent } = pair
    await pair.running('t1')
    await pair.running('t2')
    const controls = [await pair.issue('pause', 't1'), await pair.issue('boost', 't2')]
    controls.push(await pair.issue('cancel', 't2'))
    await own.kill()
    await agent.until('it notices', (seen) => seen.some((line) => line.error === 'ECONNREFUSED'))
    const before = agent.seen.length
    await own.run()
    const [pause, boost, cancel] = await Promise.all(controls.map((control) => pair.settled(control)))
    expect(pause?.outcome).toEqual(observed)
    expect(cancel?.outcome).toEqual(observed)
    expect(boost).toMatchObject({ outcome: { state: 'delivered' }, unconfirmed: true })
    expect([await pair.state('t1'), await pair.state('t2')]).toEqual(['gone', 'cancelled'])
    expect(agent.seen.filter(brings('boost')).length, 'not twice, whatever happens').toBeLessThanOrEqual(1)
    await agent.until('the stream is back', (seen) => seen.slice(before).some((line) => line.events === 200))
    const resume = await pair.issue('resume', 't1')
    expect((await pair.settled(resume)).outcome).toEqual(observed)
  })
})
