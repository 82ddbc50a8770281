/** What a control must have reached before somebody stops waiting for it. Pure. */
import { isStateVerb, type ControlRecord } from '@downlink/protocol'

/** `accepted`: the hub has it for good. `applied`: the agent says so. `observed`: the task's own state shows it. */
export type ControlUntil = 'accepted' | 'applied' | 'observed'

/** `never`: it has failed, expired, been superseded, or went to an agent that confirms nothing. */
export type ControlReached = 'yes' | 'not-yet' | 'never'

/** Whether `record` has reached `until`, may yet, or never will. */
export function controlReached(record: ControlRecord, until: ControlUntil): ControlReached {
  switch (record.outcome.state) {
    case 'failed':
    case 'expired':
    case 'superseded':
      return 'never'
    case 'pending':
    case 'delivered':
      if (until === 'accepted') return 'yes'
      return record.unconfirmed === true ? 'never' : 'not-yet'
    case 'applied':
      // A verb of the application's own shows in no state that every task has.
      if (until !== 'observed' || !isStateVerb(record.action)) return 'yes'
      if (record.stamps.observed !== undefined) return 'yes'
      return record.endedOtherwise === true ? 'never' : 'not-yet'
  }
}
