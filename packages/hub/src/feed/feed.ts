/** The operators' feed: one reader of history and presence for all who listen. */
import { encodeSseComment, limits, type Clock, type Timer } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'
import type { Logger } from '../logger.ts'
import type { PresenceNotes } from '../operator/presence-notes.ts'
import type { Store } from '../store/store.ts'
import { ChangedAgents } from './changed-agents.ts'
import { encodeBegin, encodeReset, type FeedRecords } from './feed-events.ts'
import { FeedSource, type FeedFrame } from './feed-source.ts'

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
  readonly presence: Pick<PresenceNotes, 'listen' | 'watch' | 'changedSince'>
  /** Where history ended when the hub began: of presence before that it knows nothing. */
  readonly bornAt: number
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
  /** Agents whose presence it is told of before it is live. */
  readonly missed: ChangedAgents
}

class HistoryFeed implements Feed {
  readonly #options: FeedOptions
  readonly #source: FeedSource
  readonly #subscribers = new Set<Subscriber>()
  readonly #listening: readonly Disposable[]
  /** Agents whose presence live subscribers are to be told of. */
  readonly #changed = new ChangedAgents()
  /** The sequence up to which live subscribers have got everything; it moves only together with what they are sent. */
  #cursor: Promise<number> | number | undefined
  #isTailing = false
  #isBehind = false
  #heartbeat: Timer | undefined
  #watch: Disposable | undefined
  #retry: Timer | undefined

  constructor(options: FeedOptions) {
    this.#options = options
    this.#source = new FeedSource(options.store, options.records)
    this.#listening = [
      options.store.watchHistory(() => this.#onChange()),
      options.presence.listen((agentId) => this.#onPresence(agentId)),
    ]
  }

  get size(): number {
    return this.#subscribers.size
  }

  subscribe(sink: FeedSink, subscription: FeedSubscription): Disposable {
    this.#assertRoom(subscription.tokenId)
    const subscriber: Subscriber = {
      ...subscription,
      sink,
      isLive: false,
      isOver: false,
      missed: new ChangedAgents(),
    }
    this.#subscribers.add(subscriber)
    this.#heartbeat ??= this.#setHeartbeat()
    this.#watch ??= this.#options.presence.watch()
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
    for (const listening of this.#listening) listening[Symbol.dispose]()
    this.#retry?.cancel()
    for (const subscriber of this.#subscribers) this.#end(subscriber)
  }

  /** Sends what a subscriber has missed, a page at a time, until it is where the live ones are. */
  async #catchUp(subscriber: Subscriber): Promise<void> {
    const { sink, missed } = subscriber
    const send = async (frames: readonly FeedFrame[]): Promise<void> => {
      for (const frame of frames) this.#write(subscriber, frame)
      await sink.drained()
    }
    let cursor = await this.#resume(subscriber)
    for (;;) {
      const end = await this.#begin()
      if (subscriber.isOver) return
      // Between this and its being live nothing can be told to the live ones.
      if (cursor === this.#cursor && missed.isEmpty) break
      const entries = await this.#source.entriesAfter(cursor)
      await this.#tellPresence(missed, cursor, send)
      // Asked behind the reading: what was dropped by age before it, also while the sink stood still, is not in the page.
      if (cursor < end && (await this.#source.isDropped(cursor))) {
        sink.write(encodeReset(end, 'history_dropped'))
        cursor = end
        continue
      }
      // What is newer comes when it is told to the live ones, or with the next page.
      const page = entries.filter(({ sequence }) => sequence <= end)
      await send(await this.#source.framesOf(page))
      const last = entries.length < limits.FEED_PAGE_MAX ? undefined : entries.at(-1)
      cursor = Math.min(last?.sequence ?? end, end)
    }
    subscriber.isLive = true
  }

  /** Tells a subscriber where it goes on, and notes whose presence it has missed. @returns that place. */
  async #resume(subscriber: Subscriber): Promise<number> {
    const { sink, after, missed } = subscriber
    const { presence, bornAt } = this.#options
    const begin = await this.#begin()
    if (after === undefined) {
      sink.write(encodeBegin(begin))
      return begin
    }
    // From the beginning, history shows every agent as it is now.
    if (after === 0) return after
    const entry = await this.#source.entryAt(after)
    // A place that was never in this store is as good as none.
    if (entry === undefined || after > begin) {
      sink.write(encodeReset(begin, 'history_dropped'))
      return begin
    }
    if (after <= bornAt) sink.write(encodeReset(after, 'hub_restarted'))
    else {
      for (const agentId of presence.changedSince(entry.atMs)) {
        if (isOf(subscriber, agentId)) missed.add(agentId)
      }
    }
    return after
  }

  #onPresence(agentId: string): void {
    if (this.#subscribers.size === 0) return
    this.#changed.add(agentId)
    for (const subscriber of this.#subscribers) {
      if (!subscriber.isLive && isOf(subscriber, agentId)) subscriber.missed.add(agentId)
    }
    this.#onChange()
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
        const begin = await this.#begin()
        const entries = await this.#source.entriesAfter(begin)
        // First, so that whoever has a place in history has what was noted of presence before it.
        await this.#tellPresence(this.#changed, begin, (page) => this.#sendLive(page))
        const frames = await this.#source.framesOf(entries)
        if (this.#subscribers.size === 0) return
        if (this.#cursor !== begin) {
          // All have gone meanwhile, and others have come, from another place on.
          this.#isBehind = true
          continue
        }
        this.#sendLive(frames)
        this.#cursor = entries.at(-1)?.sequence ?? begin
        if (entries.length === limits.FEED_PAGE_MAX) this.#isBehind = true
      }
    } catch (error) {
      this.#options.logger.warn({ error }, 'The feed could not read history; it tries again')
      this.#retry = this.#options.clock.setTimer(limits.FEED_RETRY_MS, () => this.#onChange())
    } finally {
      this.#isTailing = false
    }
  }

  #sendLive(frames: readonly FeedFrame[]): void {
    for (const subscriber of this.#subscribers) {
      if (!subscriber.isLive) continue
      for (const frame of frames) this.#write(subscriber, frame)
      if (subscriber.sink.queuedBytes > limits.FEED_QUEUE_BYTES_MAX) this.#end(subscriber)
    }
  }

  /** Sends how the agents that have changed are now, a page at a time; what changes meanwhile comes the next time. */
  async #tellPresence(
    changed: ChangedAgents,
    cursor: number,
    send: (frames: readonly FeedFrame[]) => Promise<void> | void,
  ): Promise<void> {
    if (changed.takeOverflow()) {
      await send([{ agentId: undefined, bytes: encodeReset(cursor, 'many_changes') }])
    }
    for (let left = changed.size; left > 0; left -= limits.FEED_PAGE_MAX) {
      const agentIds = changed.take(Math.min(left, limits.FEED_PAGE_MAX))
      try {
        await send(await this.#source.presenceOf(agentIds))
      } catch (error) {
        for (const agentId of agentIds) changed.add(agentId)
        throw error
      }
    }
  }

  #write(subscriber: Subscriber, frame: FeedFrame): void {
    if (subscriber.isOver || !isOf(subscriber, frame.agentId)) return
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
    this.#changed.clear()
    this.#heartbeat?.cancel()
    this.#heartbeat = undefined
    this.#watch?.[Symbol.dispose]()
    this.#watch = undefined
  }
}

/** Whether a subscriber wants to see what is of this agent; undefined: of all. */
function isOf(subscriber: Subscriber, agentId: string | undefined): boolean {
  return agentId === undefined || subscriber.agentId === undefined || subscriber.agentId === agentId
}

const HEARTBEAT = encodeSseComment('hb')
