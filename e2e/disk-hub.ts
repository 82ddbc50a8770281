/** A hub on a disk that will fail, an agent and a stream that must not notice, and an operator who writes every answer down. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createAgent, enroll, memoryCredential } from '@downlink/agent'
import { openSqliteStore } from '@downlink/hub'
import type { ControlRecord } from '@downlink/protocol'
import { vi } from 'vitest'
import { openRawStream, type RawStream } from '../packages/hub/test/hub-fixture.ts'
import { startJsonProcess, type JsonProcess } from './json-process.ts'

const HUB = fileURLToPath(new URL('../packages/testkit/src/kills/hub-process.ts', import.meta.url))
/** Between two presses of the operator, ms. */
const PRESS_MS = 20
/** Heartbeats that are waited for to see that they go on; one comes every 100 ms. */
const BEATS = 10
/** For whatever a test waits for, ms. */
const PATIENCE = { timeout: 45_000, interval: 50 }

/** What the operator was answered. */
export interface Answer {
  readonly status: number
  /** Of the control that was made, or the code of the refusal. */
  readonly text: string
}

interface HubLine {
  readonly url: string
  readonly token: string
}

/** See the top of this file. */
export class DiskHub implements AsyncDisposable {
  readonly #process: JsonProcess<HubLine>
  readonly #address: HubLine
  readonly #stopAgent = new AbortController()
  readonly #told: string[] = []
  readonly #downlinks: string[] = []
  readonly answers: Answer[] = []
  readonly #stream: RawStream
  #presses = 0

  static async start(directory: string): Promise<DiskHub> {
    const process = startJsonProcess<HubLine>([
      globalThis.process.execPath,
      '--conditions=@downlink/source',
      HUB,
      '--directory',
      directory,
    ])
    const address = await process.until('it listens', ([line]) => line)
    const credential = memoryCredential()
    const { key } = (await (
      await send(address, 'POST', 'api/v1/enrollment-keys', { uses: 2 })
    ).json()) as HubLine & { key: string }
    await enroll({ hub: address.url, enrollmentKey: key, agentId: 'worker', credential })
    const listener = memoryCredential()
    await enroll({ hub: address.url, enrollmentKey: key, agentId: 'listener', credential: listener })
    const stream = await openRawStream(new URL('api/internal/agent/events', address.url), {
      authorization: `Bearer ${await listener.read()}`,
    })
    const hub = new DiskHub(process, address, stream)
    await hub.#startAgent(credential)
    return hub
  }

  private constructor(process: JsonProcess<HubLine>, address: HubLine, stream: RawStream) {
    this.#process = process
    this.#address = address
    this.#stream = stream
  }

  get pid(): number {
    return this.#process.child.pid ?? 0
  }

  /** The ids of all controls that were accepted. */
  get accepted(): readonly string[] {
    return this.answers.filter(({ status }) => status === 201).map(({ text }) => text)
  }

  async #startAgent(credential: ReturnType<typeof memoryCredential>): Promise<void> {
    const agent = createAgent({
      hubs: [this.#address.url],
      credential,
      onControl: ({ controlId = '' }) => void this.#told.push(controlId),
    })
    agent.on('status', ({ status }) => this.#downlinks.push(status.downlink))
    void agent.run({ signal: this.#stopAgent.signal })
    await vi.waitUntil(() => this.#downlinks.at(-1) === 'sse', PATIENCE)
    this.#downlinks.length = 0
  }

  /** Asks once for a control, and does not repeat it: what is answered is what is judged. */
  async press(): Promise<Answer> {
    const body = { action: 'pause', taskId: `t${++this.#presses}` }
    const reply = await send(this.#address, 'POST', 'api/v1/agents/worker/controls', body)
    const { controlId, error } = (await reply.json()) as { controlId?: string; error?: string }
    const answer = { status: reply.status, text: controlId ?? error ?? '' }
    this.answers.push(answer)
    return answer
  }

  /** Presses until an answer is as `isWanted` says; returns that one. */
  async pressUntil(what: string, isWanted: (answer: Answer) => boolean): Promise<Answer> {
    const giveUp = AbortSignal.timeout(PATIENCE.timeout)
    for (;;) {
      const answer = await this.press()
      if (isWanted(answer)) return answer
      if (giveUp.aborted) throw new Error(`No answer was ${what}; the last: ${JSON.stringify(answer)}`)
      await sleep(PRESS_MS)
    }
  }

  /** Resolves once `/readyz` answers so, with its code; its sentence must name no file. */
  async readiness(status: number): Promise<string> {
    const path = 'readyz'
    const found = await vi.waitFor(async () => {
      const reply = await send(this.#address, 'GET', path)
      const body = (await reply.json()) as { error?: string; message?: string }
      if (reply.status !== status) throw new Error(`/readyz answers ${reply.status}, not ${status}`)
      return body
    }, PATIENCE)
    if (status === 200) return 'ready'
    assert.match(found.message ?? '', /store/, 'a sentence for whoever asks')
    assert.doesNotMatch(found.message ?? '', /hub\.db/, 'names a file')
    return found.error ?? ''
  }

  /** The counters of the heartbeats that arrived. */
  beats(): readonly number[] {
    return [...this.#stream.text.matchAll(/^: hb n=(\d+)/gm)].map(([, n]) => Number(n))
  }

  /** Resolves once so many more heartbeats have come, while whatever the test does goes on. */
  async beatsGoOn(): Promise<void> {
    const before = this.beats().length
    await vi.waitUntil(() => this.beats().length >= before + BEATS, PATIENCE)
  }

  /** Fails unless every heartbeat came, and the agent was on its stream all the time. */
  expectUndisturbed(): void {
    const [first = 0, ...rest] = this.beats()
    const counted = rest.map((_, index) => first + index + 1)
    assert.deepEqual(rest, counted, 'a heartbeat was lost')
    const elsewhere = this.#downlinks.filter((downlink) => downlink !== 'sse')
    assert.deepEqual(elsewhere, [], 'the agent left its stream')
  }

  /** Resolves once all that was accepted is applied by the agent's word; each was told once. */
  async allApplied(): Promise<void> {
    for (const controlId of this.accepted) {
      await vi.waitFor(async () => {
        const path = `api/v1/controls/${encodeURIComponent(controlId)}?wait=5s&until=applied`
        const reply = await send(this.#address, 'GET', path)
        const { outcome } = (await reply.json()) as Partial<ControlRecord>
        assert.equal(outcome?.state, 'applied', `${controlId} was accepted`)
      }, PATIENCE)
    }
    const told = this.#told.filter((id) => this.accepted.includes(id))
    assert.deepEqual(told.toSorted(), this.accepted.toSorted(), 'each must be told once')
  }

  /** Kills the hub, as `kill -9` does. */
  async kill(): Promise<void> {
    this.#stopAgent.abort()
    await this.#stream[Symbol.asyncDispose]()
    await this.#process[Symbol.asyncDispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill()
  }
}

/** Opens what a dead hub left on a disk, and fails unless everything in `accepted` is there, once. */
export async function expectStored(directory: string, accepted: readonly string[]): Promise<void> {
  await using store = await openSqliteStore({ file: join(directory, 'hub.db') })
  const history = await store.readHistory({ agentId: 'worker' }, { limit: 1_000_000 })
  const created = history.filter(({ kind }) => kind === 'control.created').map(({ controlId }) => controlId)
  const found = accepted.map((id) => [id, created.filter((other) => other === id).length])
  const once = accepted.map((id) => [id, 1])
  assert.deepEqual(found, once, 'acknowledged, and not on the disk')
}

function send({ url, token }: HubLine, method: string, path: string, body?: unknown): Promise<Response> {
  return fetch(new URL(path, url), {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}
