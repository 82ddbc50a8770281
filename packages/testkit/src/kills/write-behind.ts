/** What a store must never be: it answers from memory and writes to the disk a little later. The checker must find it out. */
import type { Bucket, Change, Store } from '@downlink/hub'
import type { Clock } from '@downlink/protocol'

/** How late the disk is, ms: about what an operating system without fsync would lose. */
const LATE_MS = 100

/** Makes `inner` answer before the commit, for mailboxes only: an agent without its credential would prove nothing. */
export function writeBehind(inner: Store, clock: Clock): Store {
  const newest = new Map<string, unknown>()
  const turns = new Map<string, Promise<unknown>>()

  async function update<D, R>(key: string, change: (document: D | undefined) => Change<D, R>): Promise<R> {
    const document = newest.has(key) ? newest.get(key) : await inner.read<D>('mailboxes', key)
    const made = change(document as D | undefined)
    if (made.document !== undefined) {
      newest.set(key, made.document)
      const { document: late, history = [] } = made
      clock.setTimer(LATE_MS, () => {
        void inner.update<D, undefined>('mailboxes', key, () => ({
          document: late,
          history,
          result: undefined,
        }))
      })
    }
    return made.result
  }

  return {
    get epoch() {
      return inner.epoch
    },
    counts: inner.counts,
    serviceMs: () => inner.serviceMs(),
    health: () => inner.health(),
    async read<D>(bucket: Bucket, key: string): Promise<D | undefined> {
      if (bucket === 'mailboxes' && newest.has(key)) return newest.get(key) as D
      return inner.read<D>(bucket, key)
    },
    update<D, R>(bucket: Bucket, key: string, change: (document: D | undefined) => Change<D, R>): Promise<R> {
      if (bucket !== 'mailboxes') return inner.update(bucket, key, change)
      const turn = (turns.get(key) ?? Promise.resolve()).then(() => update(key, change))
      turns.set(
        key,
        turn.catch(() => undefined),
      )
      return turn
    },
    list: (bucket, page) => inner.list(bucket, page),
    readHistory: (scope, page) => inner.readHistory(scope, page),
    lastHistorySequence: () => inner.lastHistorySequence(),
    watchHistory: (listener) => inner.watchHistory(listener),
    pruneHistory: (beforeMs, limit) => inner.pruneHistory(beforeMs, limit),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  }
}
