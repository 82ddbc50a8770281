/** Tells the parts of one hub that a mailbox has changed, after the commit; later the bus between hubs. */
import type { Mailbox } from './mailbox.ts'

/** A committed change. */
export interface MailboxChange {
  readonly agentId: string
  readonly mailbox: Mailbox
  /** Controls that go out with the reply of the sync that made the change, so need no push. */
  readonly repliedControlIds: ReadonlySet<string>
  /** A sync made the change: what it shows goes out with the reply, so it need not wake the agent. */
  readonly isOfSync?: true
  /** Tasks that go out with that reply. */
  readonly repliedTaskIds: ReadonlySet<string>
}

/** Called after a commit, in no promised order across agents; of one agent, compare `mailbox.version`. */
export type MailboxListener = (change: MailboxChange) => void

/** A set of listeners, run one after the other; none may throw. */
export interface MailboxChanges {
  publish(change: MailboxChange): void
  listen(listener: MailboxListener): Disposable
}

/** Makes an empty set. */
export function createMailboxChanges(): MailboxChanges {
  const listeners = new Set<MailboxListener>()
  return {
    publish(change) {
      for (const listener of listeners) listener(change)
    },
    listen(listener) {
      listeners.add(listener)
      return { [Symbol.dispose]: () => void listeners.delete(listener) }
    },
  }
}
