/** What becomes of a mailbox when an original says that its own user decided about a task. Pure. */
import { isStateVerb } from '@downlink/protocol'
import { MailboxDraft, type Decision, type DecisionTime, type WriteLog } from './draft.ts'
import type { Mailbox } from './mailbox.ts'

/** A decision made on the agent itself, as an original reports it. */
export interface LocalDecision {
  readonly taskId: string
  /** A state verb, or a word of the application's own. */
  readonly action: string
  readonly reason?: string
}

/**
 * Closes what the decision overruled: the task's open state controls that the agent may have seen. One that was never
 * written to it is as if issued later, and stands. In history in any case.
 */
export function decideLocally(
  before: Mailbox,
  decision: LocalDecision,
  time: DecisionTime,
  written: WriteLog,
): Decision {
  const { taskId, action, reason } = decision
  const draft = new MailboxDraft(before, time, written)
  const overruled = isStateVerb(action)
    ? before.open.filter(
        (entry) => entry.taskId === taskId && entry.lane === 'state' && draft.mayBeWritten(entry),
      )
    : []
  for (const entry of overruled) draft.settle(entry, { state: 'superseded', byControlId: 'local' })
  draft.log('task.decided_locally', { taskId }, { action, ...(reason === undefined ? {} : { reason }) })
  // History is written with a change only.
  draft.set({})
  return draft.finish()
}
