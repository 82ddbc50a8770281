/** Reads what the feed shows, and encodes it, each event once for all who read it. */
import { limits } from '@downlink/protocol'
import type { Store, StoredHistoryEntry } from '../store/store.ts'
import { encodeFeedEvent, encodePresence, feedEventOf, type FeedRecords } from './feed-events.ts'

/** An event, encoded. */
export interface FeedFrame {
  /** Undefined: for all. */
  readonly agentId: string | undefined
  readonly bytes: Uint8Array
}

/** History and the records that it is about. Each reading throws what the store throws. */
export class FeedSource {
  readonly #store: Store
  readonly #records: FeedRecords

  constructor(store: Store, records: FeedRecords) {
    this.#store = store
    this.#records = records
  }

  /** At most `FEED_PAGE_MAX` facts; fewer if there are no more. */
  entriesAfter(sequence: number): Promise<readonly StoredHistoryEntry[]> {
    return this.#store.readHistory({}, { after: sequence, limit: limits.FEED_PAGE_MAX })
  }

  /** The fact of that place; undefined if it was dropped by age, or never was. */
  async entryAt(sequence: number): Promise<StoredHistoryEntry | undefined> {
    const [entry] = await this.#store.readHistory({}, { after: sequence - 1, limit: 1 })
    return entry?.sequence === sequence ? entry : undefined
  }

  /** Whether something that came after `sequence`, which is not the last, has been dropped by age. */
  async isDropped(sequence: number): Promise<boolean> {
    const [oldest] = await this.#store.readHistory({}, { limit: 1 })
    return oldest === undefined || sequence < oldest.sequence - 1
  }

  /** What there is to show of facts. */
  async framesOf(entries: readonly StoredHistoryEntry[]): Promise<readonly FeedFrame[]> {
    const frames: FeedFrame[] = []
    for (const entry of entries) {
      const event = await feedEventOf(entry, this.#records)
      if (event !== undefined) frames.push({ agentId: entry.agentId, bytes: encodeFeedEvent(event) })
    }
    return frames
  }

  /** The agents as they are now. */
  async presenceOf(agentIds: readonly string[]): Promise<readonly FeedFrame[]> {
    const frames: FeedFrame[] = []
    for (const agentId of agentIds) {
      const agent = await this.#records.agent(agentId)
      if (agent !== undefined) frames.push({ agentId, bytes: encodePresence(agent) })
    }
    return frames
  }
}
