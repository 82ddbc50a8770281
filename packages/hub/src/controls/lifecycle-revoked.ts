/** What becomes of a mailbox when its agent is revoked: nothing will ever take what is open. Pure. */
import { MailboxDraft, type Decision, type DecisionTime, type WriteLog } from './draft.ts'
import type { ControlEntry, Mailbox } from './mailbox.ts'

/** The code of controls that were open when their agent was revoked. */
const CODE = 'agent_revoked'

/** Settles every open control as failed; one that may have been written may have been applied, too. */
export function closeControls(before: Mailbox, time: DecisionTime, written: WriteLog): Decision {
  const draft = new MailboxDraft(before, time, written)
  for (const entry of before.open) {
    const mayHaveApplied = draft.mayBeWritten(entry)
    draft.settle(
      entry,
      {
        state: 'failed',
        code: CODE,
        message: mayHaveApplied
          ? 'The agent was revoked after this control was sent; it may or may not have been applied.'
          : 'The agent was revoked before this control was sent; it was not applied.',
      },
      {},
      mayHaveApplied ? { mayHaveApplied } : {},
    )
  }
  return draft.finish()
}

/** Whether a control was settled by a revocation: its agent, enrolled again, may still say what became of it. */
export function isClosedByRevocation({ outcome }: ControlEntry): boolean {
  return outcome.state === 'failed' && outcome.code === CODE
}
