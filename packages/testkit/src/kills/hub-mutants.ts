/** What a store must never be: each of these leaves out a promise. The checker must find them out. */
import type { Bucket, Change, Store } from '@downlink/hub'
import type { Clock } from '@downlink/protocol'
import { storeWith } from '../store-with.ts'

/** The mutants of a hub, and the store of each: `commit-before-reply` answers before the commit, `audit-apart` commits in two steps. */
export const HUB_MUTANTS: Readonly<Record<string, (inner: Store, clock: Clock) => Store>> = {
  'commit-before-reply': writeBehind,
  'audit-apart': auditApart,
}

/** How late the disk is, ms: about what an operating system without fsync would lose. */
const LATE_MS = 100

/** Makes `inner` answer before the commit, for mailboxes only: an agent without its credential would prove nothing. */
function writeBehind(inner: Store, clock: Clock): Store {
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

  const read: Store['read'] = async <D>(bucket: Bucket, key: string): Promise<D | undefined> =>
    bucket === 'mailboxes' && newest.has(key) ? (newest.get(key) as D) : inner.read<D>(bucket, key)
  return withChanges(inner, read, (key, change) => {
    const turn = (turns.get(key) ?? Promise.resolve()).then(() => update(key, change))
    turns.set(
      key,
      turn.catch(() => undefined),
    )
    return turn
  })
}

/** Makes `inner` commit a mailbox at once, and what the audit trail is to have of it a little later. */
function auditApart(inner: Store, clock: Clock): Store {
  const read: Store['read'] = (bucket, key) => inner.read(bucket, key)
  return withChanges(
    inner,
    read,
    async <D, R>(key: string, change: (document: D | undefined) => Change<D, R>) => {
      let late: Change<D, R>['history'] = []
      const result = await inner.update<D, R>('mailboxes', key, (document) => {
        const { history = [], ...made } = change(document)
        late = history
        return made
      })
      if (late.length > 0) {
        const history = late
        clock.setTimer(LATE_MS, () => {
          void inner.update<D, undefined>('mailboxes', key, (document) =>
            document === undefined ? { result: undefined } : { document, history, result: undefined },
          )
        })
      }
      return result
    },
  )
}

type ChangeMailbox = <D, R>(key: string, change: (document: D | undefined) => Change<D, R>) => Promise<R>

/** `inner`, but that it reads and changes mailboxes in another way. */
function withChanges(inner: Store, read: Store['read'], changeMailbox: ChangeMailbox): Store {
  return storeWith(inner, {
    read,
    update: (bucket, key, change) =>
      bucket === 'mailboxes' ? changeMailbox(key, change) : inner.update(bucket, key, change),
  })
}
