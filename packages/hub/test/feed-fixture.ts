/** A feed over a store in memory, with readers that keep what they are sent. */
import { limits, type AgentRecord, type Json } from '@downlink/protocol'
import { createTestClock } from '../../testkit/src/test-clock.ts'
import { createFeed, type Feed, type FeedSink } from '../src/feed/feed.ts'
import { silentLogger } from '../src/logger.ts'
import { createMemoryStore } from '../src/store/memory-store.ts'
import type { Store } from '../src/store/store.ts'

/** Somebody's token; whose does not matter here. */
export const ANY = { tokenId: 'any' }

/** A connection that keeps its text. */
export class TextSink implements FeedSink {
  text = ''
  isEnded = false
  queuedBytes = 0
  #release: (() => void) | undefined
  /** From now on nothing leaves. */
  stall(): void {
    this.queuedBytes = limits.FEED_QUEUE_BYTES_MAX + 1
  }
  release(): void {
    this.queuedBytes = 0
    this.#release?.()
  }
  drained(): Promise<void> {
    return this.queuedBytes === 0 ? Promise.resolve() : new Promise((resolve) => (this.#release = resolve))
  }
  write(frame: Uint8Array): void {
    this.text += Buffer.from(frame).toString('utf8')
  }
  end(): void {
    this.isEnded = true
  }
  get ids(): number[] {
    return [...this.text.matchAll(/^event: control\nid: (\d+)$/gm)].map(([, id]) => Number(id))
  }
  /** Each frame in words: event, place, why a reset, agent and status. */
  get told(): string[] {
    return [...this.text.matchAll(/^event: (\w+)\n(?:id: (\d+)\n)?data: (.*)$/gm)].map(
      ([, type, id, data]) => {
        const { agent, reason } = JSON.parse(data ?? '') as Partial<Record<'agent', AgentRecord>> & {
          reason?: string
        }
        return [type, id, reason, agent && `${agent.agentId} ${agent.status}`].filter(Boolean).join(' ')
      },
    )
  }
}

/** What a hub notes of presence, as a test says. */
export class TestPresence {
  readonly statuses = new Map<string, AgentRecord['status']>()
  watchers = 0
  readonly #noted = new Map<string, number>()
  #listener: ((agentId: string) => void) | undefined
  /** An agent's presence changes. @param wallMs - when that is noted; facts are of 1 */
  change(agentId: string, status: AgentRecord['status'], wallMs = 1): void {
    this.statuses.set(agentId, status)
    this.#noted.set(agentId, wallMs)
    this.#listener?.(agentId)
  }
  listen(listener: (agentId: string) => void): Disposable {
    this.#listener = listener
    return { [Symbol.dispose]() {} }
  }
  watch(): Disposable {
    this.watchers++
    return { [Symbol.dispose]: () => void this.watchers-- }
  }
  changedSince(wallMs: number): string[] {
    return [...this.#noted].filter(([, notedMs]) => notedMs >= wallMs).map(([agentId]) => agentId)
  }
}

/** A feed of a hub in memory. */
export function setUp(
  store: Store = createMemoryStore(),
  { bornAt = 0, readAgent = async () => {} }: { bornAt?: number; readAgent?: () => Promise<void> } = {},
): {
  feed: Feed
  clock: ReturnType<typeof createTestClock>
  presence: TestPresence
  /** Facts about controls. */
  commit(agentId: string, count?: number): Promise<void>
  /** A fact about the agent. */
  commitAgent(agentId: string): Promise<void>
} {
  const clock = createTestClock()
  const presence = new TestPresence()
  const records = {
    async agent(agentId: string) {
      const status = presence.statuses.get(agentId) ?? 'online'
      await readAgent()
      return { agentId, status } as AgentRecord
    },
    task: async () => undefined,
  }
  const feed = createFeed({ store, clock, logger: silentLogger, records, presence, bornAt })
  return {
    feed,
    clock,
    presence,
    async commit(agentId, count = 1) {
      for (let n = 0; n < count; n++) {
        const controlId = `${agentId}~${n}`
        const data: Json = { controlId, agentId }
        const fact = { agentId, atMs: 1, kind: 'control.created', controlId, taskId: 't', data }
        await store.update('mailboxes', agentId, () => ({ document: {}, history: [fact], result: undefined }))
      }
    },
    async commitAgent(agentId) {
      const fact = { agentId, atMs: 1, kind: 'agent.enrolled', data: {} }
      await store.update('agents', agentId, () => ({ document: {}, history: [fact], result: undefined }))
    },
  }
}
