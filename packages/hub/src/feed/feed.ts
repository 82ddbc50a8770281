/** The operators' feed: one reader of history for all subscribers, each event encoded once. */
import { encodeSseComment, encodeSseEvent, limits, type Clock, type Timer } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import type { Logger } from '../logger.ts'
import type { Store } from '../store/store.ts'
import { encodeFeedEvent, feedEventOf, type FeedRecords } from './feed-events.ts'

/** The connection of a subscriber. */
export interface FeedSink {
  /** Bytes that were written and have not left yet. */
  readonly queuedBytes: number
  /** Resolves once what was written has left, or the connection is over. */
  drained(): Promise<void>
  write(frame: Uint8Array): void
  end(): void
}

/** Where a subscriber begins, and what it wants to see. */
export interface FeedSubscription {
  /** The last event that it has seen; undefined for nothing but what happens from now on. */
  readonly after?: number
  /** Only of this agent. */
  readonly agentId?: string
  /** Whose token it was opened with. */
  readonly tokenId: string
  /** When that expires, on the store's service time: the subscription ends with the next heartbeat. */
  readonly expiresAtServiceMs?: number
}

/** The feed of one hub. */
export interface Feed extends Disposable {
  /** How many read it now. */
  readonly size: number
  /**
   * Sends what happened since, then what happens. A sink that does not keep up is ended: its reader comes back with the
   * last id that it has seen.
   * @throws HubError `too_many_waiters`.
   */
  subscribe(sink: FeedSink, subscription: FeedSubscription): Disposable
  /** Ends all that were opened with this token: it was revoked. */
  endOf(tokenId: string): void
}

/** What a feed needs. */
export interface FeedOptions {
  readonly store: Store
  readonly clock: Clock
  readonly logger: Logger
  readonly records: FeedRecords
}

/** Starts a feed; it reads nothing while nobody listens. */
export function createFeed(options: FeedOptions): Feed {
  return new HistoryFeed(options)
}

interface Subscriber extends FeedSubscription {
  readonly sink: FeedSink
  /** False while it is sent what happened before it came. */
  isLive: boolean
  isOver: boolean
}

interface Frame {
  readonly sequence: number
  readonly agentId: string | undefined
  readonly bytes: Uint8Array
}

class HistoryFeed implements Feed {
  readonly #options: FeedOptions
  readonly #subscribers = new Set<Subscriber>()
  readonly #listening: Disposable
  /** The sequence up to which live subscribers have got everything; it moves only together with what they are sent. */
  #cursor: Promise<number> | number | undefined
  #isTailing = false
  #isBehind = false
  #heartbeat: Timer | undefined
  #retry: Timer | undefined

  constructor(options: FeedOptions) {
    this.#options = options
    this.#listening = options.store.watchHistory(() => this.#onChange())
  }

  get size(): number {
    return this.#subscribers.size
  }

  subscribe(sink: FeedSink, subscription: FeedSubscription): Disposable {
    this.#assertRoom(subscription.tokenId)
    const subscriber: Subscriber = { ...subscription, sink, isLive: false, isOver: false }
    this.#subscribers.add(subscriber)
    this.#heartbeat ??= this.#setHeartbeat()
    this.#catchUp(subscriber).catch((error: unknown) => {
      this.#options.logger.warn({ error }, 'A reader of the feed could not be served; it may come back')
      this.#end(subscriber)
    })
    return { [Symbol.dispose]: () => this.#remove(subscriber) }
  }

  /** @throws HubError `too_many_waiters`. */
  #assertRoom(tokenId: string): void {
    const { FEED_STREAMS_MAX, FEED_STREAMS_PER_TOKEN_MAX } = limits
    let own = 0
    for (const subscriber of this.#subscribers) if (subscriber.tokenId === tokenId) own++
    if (own >= FEED_STREAMS_PER_TOKEN_MAX) {
      throw new HubError(
        'too_many_waiters',
        `This token already has ${FEED_STREAMS_PER_TOKEN_MAX} readers of the feed. Close one, or use another token.`,
      )
    }
    if (this.#subscribers.size < FEED_STREAMS_MAX) return
    throw new HubError(
      'too_many_waiters',
      `This hub already has ${FEED_STREAMS_MAX} readers of its feed. Close one, or come back later.`,
    )
  }

  endOf(tokenId: string): void {
    for (const subscriber of this.#subscribers) if (subscriber.tokenId === tokenId) this.#end(subscriber)
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]()
    this.#retry?.cancel()
    for (const subscriber of this.#subscribers) this.#end(subscriber)
  }

  /** Sends what a subscriber has missed, a page at a time, until it is where the live ones are. */
  async #catchUp(subscriber: Subscriber): Promise<void> {
    const { sink, after } = subscriber
    const begin = await this.#begin()
    // A place that was never in this store is as good as none.
    const isUnknown = after !== undefined && after > begin
    if (isUnknown) sink.write(encodeReset(begin))
    else if (after === undefined) sink.write(encodeBegin(begin))
    let cursor = after === undefined || isUnknown ? begin : after
    for (let end = begin; cursor < end && !subscriber.isOver; end = await this.#begin()) {
      const page = await this.#readFrames(cursor)
      // Asked behind the reading: what was dropped by age before it, also while the sink stood still, is not in the page.
      if (await this.#isDropped(cursor)) {
        sink.write(encodeReset(end))
        cursor = end
        continue
      }
      // What is newer comes when it is told to the live ones, or with the next page.
      for (const frame of page.frames) if (frame.sequence <= end) this.#write(subscriber, frame)
      cursor = page.isLast ? end : Math.min(page.cursor, end)
      await sink.drained()
    }
    subscriber.isLive = true
  }

  #onChange(): void {
    if (this.#subscribers.size === 0) {
      // Read by a tail that found nobody left to tell.
      this.#cursor = undefined
      return
    }
    this.#isBehind = true
    if (!this.#isTailing) void this.#tail()
  }

  /** Where live subscribers are; for the first one, the end of history. */
  async #begin(): Promise<number> {
    const asked = (this.#cursor ??= this.#options.store.lastHistorySequence())
    try {
      const cursor = await asked
      // Meanwhile the tail may have gone on from it.
      if (this.#cursor === asked) this.#cursor = cursor
      return typeof this.#cursor === 'number' ? this.#cursor : cursor
    } catch (error) {
      if (this.#cursor === asked) this.#cursor = undefined
      throw error
    }
  }

  async #tail(): Promise<void> {
    this.#isTailing = true
    try {
      while (this.#isBehind) {
        this.#isBehind = false
        const { frames, cursor, isLast } = await this.#readFrames(await this.#begin())
        for (const subscriber of this.#subscribers) {
          if (!subscriber.isLive) continue
          for (const frame of frames) this.#write(subscriber, frame)
          if (subscriber.sink.queuedBytes > limits.FEED_QUEUE_BYTES_MAX) this.#end(subscriber)
        }
        if (this.#subscribers.size === 0) return
        this.#cursor = cursor
        if (!isLast) this.#isBehind = true
      }
    } catch (error) {
      this.#options.logger.warn({ error }, 'The feed could not read history; it tries again')
      this.#retry = this.#options.clock.setTimer(limits.FEED_RETRY_MS, () => this.#onChange())
    } finally {
      this.#isTailing = false
    }
  }

  async #readFrames(after: number): Promise<{ frames: Frame[]; cursor: number; isLast: boolean }> {
    const { store, records } = this.#options
    const entries = await store.readHistory({}, { after, limit: limits.FEED_PAGE_MAX })
    const frames: Frame[] = []
    for (const entry of entries) {
      const event = await feedEventOf(entry, records)
      if (event === undefined) continue
      const { sequence, agentId } = entry
      frames.push({ sequence, agentId, bytes: encodeFeedEvent(event) })
    }
    const isLast = entries.length < limits.FEED_PAGE_MAX
    return { frames, cursor: entries.at(-1)?.sequence ?? after, isLast }
  }

  /** Whether something that came after `sequence`, which is not the last, has been dropped by age. */
  async #isDropped(sequence: number): Promise<boolean> {
    const [oldest] = await this.#options.store.readHistory({}, { limit: 1 })
    return oldest === undefined || sequence < oldest.sequence - 1
  }

  #write(subscriber: Subscriber, frame: Frame): void {
    if (subscriber.isOver || (subscriber.agentId ?? frame.agentId) !== frame.agentId) return
    subscriber.sink.write(frame.bytes)
  }

  #setHeartbeat(): Timer {
    return this.#options.clock.setTimer(limits.HEARTBEAT_MS_DEFAULT, () => {
      this.#heartbeat = this.#subscribers.size === 0 ? undefined : this.#setHeartbeat()
      const serviceMs = this.#options.store.serviceMs()
      for (const subscriber of this.#subscribers) {
        if ((subscriber.expiresAtServiceMs ?? Infinity) <= serviceMs) this.#end(subscriber)
        else subscriber.sink.write(HEARTBEAT)
      }
    })
  }

  #end(subscriber: Subscriber): void {
    this.#remove(subscriber)
    subscriber.sink.end()
  }

  #remove(subscriber: Subscriber): void {
    subscriber.isOver = true
    this.#subscribers.delete(subscriber)
    if (this.#subscribers.size > 0) return
    // Whoever comes next begins where history then ends.
    this.#cursor = undefined
    this.#heartbeat?.cancel()
    this.#heartbeat = undefined
  }
}

const HEARTBEAT = encodeSseComment('hb')

/** Tells a reader where it is before anything happens, so that nothing is missed if its connection breaks first. */
function encodeBegin(cursor: number): Uint8Array {
  return encodeSseEvent({ event: 'begin', id: String(cursor), data: '{}' })
}

/** What was shown may be out of date: read the listings again. */
function encodeReset(cursor: number): Uint8Array {
  const data = JSON.stringify({ reason: 'history_dropped' })
  return encodeSseEvent({ event: 'reset', id: String(cursor), data })
}
