/** Local decisions that a server without revisions has not answered yet: until then it may still speak of before. */
import { isStateVerb, type Control, type StateVerb } from '@downlink/protocol'

/** The last unanswered decision of each task. Syncs are numbered by when they began. */
export class UnansweredDecisions {
  readonly #byTask = new Map<string, { readonly action: StateVerb; readonly sinceSync: number }>()

  /** A decision that only syncs after number `sinceSync` can show. */
  add(taskId: string, action: StateVerb, sinceSync: number): void {
    this.#byTask.set(taskId, { action, sinceSync })
  }

  /** Sync `sync` was answered: the server knows of every decision made before it began. */
  syncAnswered(sync: number): void {
    for (const [taskId, { sinceSync }] of this.#byTask) if (sync > sinceSync) this.#byTask.delete(taskId)
  }

  /**
   * Whether a control without a revision may be applied; `sync` is the number of the sync that brought it, if one did.
   * A cancel always wins.
   */
  accepts({ taskId, action }: Control, sync: number | undefined): boolean {
    const local = this.#byTask.get(taskId)
    if (local === undefined || action === 'cancel' || !isStateVerb(action)) return true
    return action === local.action || (sync !== undefined && sync > local.sinceSync)
  }
}
