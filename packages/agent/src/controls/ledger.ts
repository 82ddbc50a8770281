/** The agent's ledger: decides every control exactly once and forgets none before the hub has it. Pure: no I/O, no clock. */
import {
  compareRevisions,
  isStateVerb,
  limits,
  type DecisionReport,
  type Delivery,
  type IssuedControl,
  type OutcomeReport,
  type Revision,
  type StateVerb,
} from '@downlink/protocol'
import type { IntendedState, LedgerRecord, Outcome } from './ledger-records.ts'
import { foldRecord, intendedBy, laneKey, newLedgerState, type LedgerState } from './ledger-state.ts'

/** What to do with a control that has arrived. */
export type Verdict =
  /** Journal `record`, apply the control, then journal its outcome. */
  | { readonly kind: 'accept'; readonly record: LedgerRecord }
  /** Decided or being decided already: do nothing, its outcome is reported anyway. */
  | { readonly kind: 'duplicate' }
  /** Older than what this lane has seen: do nothing; the refusal is reported. */
  | { readonly kind: 'stale' }
  /** Too much is undecided or unacknowledged: do nothing, the hub hands it out again. */
  | { readonly kind: 'full' }

/** What one sync reports; handed back with the hub's acknowledgement. */
export interface LedgerReport {
  readonly journalId: string
  readonly journalPosition: number
  readonly journalOpenedAt: number
  readonly outcomes: readonly OutcomeReport[]
  readonly received: readonly string[]
  readonly decisions: readonly DecisionReport[]
}

/** A control that a crash interrupted, and what its delivery says about it. */
export type Interrupted =
  /** Establish it again, then journal its outcome. */
  | { readonly kind: 'apply'; readonly control: IssuedControl }
  /** It may have been applied: journal this outcome instead. */
  | { readonly kind: 'fail'; readonly record: LedgerRecord }

/**
 * Holds what was decided.
 * A query never changes it; `record` does, and is called when the record is on disk, not before.
 */
export class Ledger {
  /** How many records the journal had ever taken when it was opened. */
  readonly openedAt: number
  readonly #state: LedgerState
  /** Refusals as stale decide nothing, so they are not journalled: a crash only means that the hub asks again. */
  readonly #refusals = new Map<string, OutcomeReport>()
  /** Outcomes and decisions that the hub has and the journal still holds: forgotten to everybody but the disk. */
  readonly #acknowledged = new Set<string>()

  /** @param records - of the journal, oldest first; the first is of type `journal`. */
  constructor(records: Iterable<LedgerRecord>) {
    this.#state = newLedgerState()
    for (const record of records) foldRecord(this.#state, record)
    this.openedAt = this.#state.position
  }

  get journalId(): string {
    return this.#state.journalId
  }

  /** The state that the records made. Not to be changed by the reader. */
  get state(): Readonly<LedgerState> {
    return this.#state
  }

  /** Takes in a record that is on disk. */
  record(record: LedgerRecord): void {
    foldRecord(this.#state, record)
    if (record.type === 'forget') for (const id of record.ids) this.#acknowledged.delete(id)
  }

  /** Judges a control that carries an id and a revision. A refusal is remembered for the next report. */
  judge(control: IssuedControl, delivery: Delivery): Verdict {
    const { controlId } = control
    if (this.#state.intents.has(controlId) || this.#isUnacknowledged(controlId)) return { kind: 'duplicate' }
    const lane = this.#state.lanes.get(laneKey(control.taskId, control.lane))
    if (lane !== undefined && compareRevisions(control, lane.mark) <= 0) {
      this.#refuse(control, lane.mark, lane.localBasedOn)
      return { kind: 'stale' }
    }
    if (this.#state.intents.size + this.unacknowledgedOutcomes >= limits.LEDGER_CONTROLS_MAX)
      return { kind: 'full' }
    return { kind: 'accept', record: { type: 'intent', control, delivery } }
  }

  /** What was accepted and not decided when the last life of the agent ended. */
  interrupted(): readonly Interrupted[] {
    return [...this.#state.intents.values()].map(({ control, delivery }): Interrupted => {
      if (isStateVerb(control.action) || delivery === 'atLeastOnce') return { kind: 'apply', control }
      const outcome: Outcome = {
        state: 'failed',
        code: 'interrupted',
        message: `The agent stopped while it applied ${control.action}; whether it took effect is not known.`,
      }
      return { kind: 'fail', record: { type: 'outcome', controlId: control.controlId, outcome } }
    })
  }

  /**
   * Local decisions that still say what is meant of their task: a crash may have come before they were applied.
   * The hub has not acknowledged them, so they are recent. A control that was interrupted is newer, and applied again.
   */
  decisionsToEstablish(): readonly DecisionReport[] {
    const interrupted = new Set(
      [...this.#state.intents.values()].flatMap(({ control }) =>
        isStateVerb(control.action) ? [control.taskId] : [],
      ),
    )
    return [...this.#state.decisions.values()].filter(
      ({ taskId, action }) => !interrupted.has(taskId) && intendedBy(action) === this.intendedState(taskId),
    )
  }

  /** What is meant to be true of a task. */
  intendedState(taskId: string): IntendedState {
    return this.#state.intended.get(taskId)?.state ?? 'running'
  }

  /** The record of a pause, resume or cancel made on this machine; it rests on all that this lane has seen. */
  decideLocally(taskId: string, action: StateVerb, decisionId: string): LedgerRecord {
    const lane = this.#state.lanes.get(laneKey(taskId, 'state'))
    const basedOn: Revision = lane === undefined ? { epoch: 0, revision: 0 } : { ...lane.mark }
    return { type: 'decision', decisionId, taskId, action, basedOn }
  }

  /** What the next sync reports, within `REPORTS_PER_SYNC_MAX` of each kind, oldest first. */
  report(): LedgerReport {
    const count = limits.REPORTS_PER_SYNC_MAX
    const decided = [...this.#state.outcomes.values()]
      .filter(({ control }) => !this.#acknowledged.has(control.controlId))
      .map(({ control, outcome }): OutcomeReport => ({
        controlId: control.controlId,
        epoch: control.epoch,
        revision: control.revision,
        ...outcome,
      }))
    return {
      journalId: this.#state.journalId,
      journalPosition: this.#state.position,
      journalOpenedAt: this.openedAt,
      outcomes: [...decided, ...this.#refusals.values()].slice(0, count),
      received: [...this.#state.intents.keys()].slice(0, count),
      decisions: [...this.#state.decisions.values()]
        .filter(({ decisionId }) => !this.#acknowledged.has(decisionId))
        .slice(0, count),
    }
  }

  /** Outcomes of accepted controls that the hub has not acknowledged. */
  get unacknowledgedOutcomes(): number {
    let count = this.#state.outcomes.size
    for (const id of this.#acknowledged) if (this.#state.outcomes.has(id)) count--
    return count
  }

  /** Takes in what the hub has of a report: it is never reported again by this process. Whether that is anything. */
  acknowledge(report: LedgerReport, acked: readonly string[]): boolean {
    const ackedIds = new Set(acked)
    for (const outcome of report.outcomes) {
      // A later refusal of the same control is another statement, which this acknowledgement does not cover.
      if (ackedIds.has(outcome.controlId) && this.#refusals.get(outcome.controlId) === outcome) {
        this.#refusals.delete(outcome.controlId)
      }
    }
    const ids = [
      ...report.outcomes.filter((outcome) => outcome.state !== 'stale').map((outcome) => outcome.controlId),
      ...report.decisions.map((decision) => decision.decisionId),
    ].filter((id) => ackedIds.has(id) && this.#isUnacknowledged(id))
    for (const id of ids) this.#acknowledged.add(id)
    return ids.length > 0
  }

  /**
   * The record that forgets what is acknowledged, or undefined if that is nothing. It goes before the next records of any
   * kind, for nobody waits for it: what a crash leaves out is reported once more, and the hub acknowledges it again.
   */
  forgetRecord(): LedgerRecord | undefined {
    return this.#acknowledged.size === 0 ? undefined : { type: 'forget', ids: [...this.#acknowledged] }
  }

  #isUnacknowledged(id: string): boolean {
    return (this.#state.outcomes.has(id) || this.#state.decisions.has(id)) && !this.#acknowledged.has(id)
  }

  #refuse(control: IssuedControl, mark: Revision, localBasedOn: Revision | undefined): void {
    const { controlId, epoch, revision } = control
    if (this.#refusals.size >= limits.REPORTS_PER_SYNC_MAX && !this.#refusals.has(controlId)) return
    const local = localBasedOn !== undefined && compareRevisions(control, localBasedOn) <= 0
    const highWater: Revision = { epoch: mark.epoch, revision: mark.revision }
    this.#refusals.set(controlId, { controlId, epoch, revision, state: 'stale', highWater, local })
  }
}
