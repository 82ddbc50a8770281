/** A store that differs from another in some of its methods: for tests that make it fail, waste or lie. */
import type { Store } from '@downlink/hub'

/** `inner`, but for what `own` does in its place. */
export function storeWith(inner: Store, own: Partial<Store>): Store {
  return {
    get epoch() {
      return inner.epoch
    },
    counts: inner.counts,
    serviceMs: () => inner.serviceMs(),
    health: () => inner.health(),
    read: (bucket, key, use) => inner.read(bucket, key, use),
    update: (bucket, key, change) => inner.update(bucket, key, change),
    list: (bucket, page) => inner.list(bucket, page),
    readHistory: (scope, page) => inner.readHistory(scope, page),
    lastHistorySequence: () => inner.lastHistorySequence(),
    watchHistory: (listener) => inner.watchHistory(listener),
    pruneHistory: (beforeMs, limit) => inner.pruneHistory(beforeMs, limit),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
    ...own,
  }
}
