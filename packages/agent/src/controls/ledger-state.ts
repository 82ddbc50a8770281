/** The ledger's state as the fold of its records, and the records that make it again. Pure. */
import {
  compareRevisions,
  isStateVerb,
  limits,
  type DecisionReport,
  type Delivery,
  type IssuedControl,
  type Json,
  type Revision,
  type StateVerb,
} from '@downlink/protocol'
import type { IntendedState, Intention, LedgerRecord, Outcome, TaskEndRecord } from './ledger-records.ts'

/** What one lane of one task has seen. */
export interface Lane {
  readonly taskId: string
  readonly lane: string
  mark: Revision
  /** The last local decision rested on this; controls up to it are stale by that decision. */
  localBasedOn?: Revision
  /** When the task was over, by the agent's wall clock; the lane outlives it by `LANE_RETENTION_MS`. */
  endedWallMs?: number
}

/** A task that the agent holds. */
export interface LedgerTask {
  readonly taskId: string
  readonly kind: string
  readonly input: Json
  facts?: Json
  end?: TaskEndRecord
}

/** Everything that survives the process. */
export interface LedgerState {
  journalId: string
  /** Records that this journal ever took. A copy of earlier that was put back has a lower one, which the hub notices. */
  position: number
  readonly lanes: Map<string, Lane>
  readonly intents: Map<string, { readonly control: IssuedControl; readonly delivery: Delivery }>
  readonly outcomes: Map<string, { readonly control: IssuedControl; readonly outcome: Outcome }>
  readonly decisions: Map<string, DecisionReport>
  /** By task; a task that is not in it is meant to run. */
  readonly intended: Map<string, Intention>
  readonly tasks: Map<string, LedgerTask>
}

/** A state in which nothing has happened. */
export function newLedgerState(): LedgerState {
  return {
    journalId: '',
    position: 0,
    lanes: new Map(),
    intents: new Map(),
    outcomes: new Map(),
    decisions: new Map(),
    intended: new Map(),
    tasks: new Map(),
  }
}

/** One key for a lane of a task; task ids hold no NUL. */
export function laneKey(taskId: string, lane: string): string {
  return `${taskId}\0${lane}`
}

/** Takes one record into `state`. Total: a record that fits nothing changes nothing. */
export function foldRecord(state: LedgerState, record: LedgerRecord): void {
  state.position++
  switch (record.type) {
    case 'journal':
      state.journalId = record.journalId
      if (record.position !== undefined) state.position = record.position
      return
    case 'intent':
      foldIntent(state, record.control, record.delivery)
      return
    case 'outcome':
      foldOutcome(state, record.controlId, record.outcome)
      return
    case 'forget':
      for (const id of record.ids) {
        state.outcomes.delete(id)
        state.decisions.delete(id)
      }
      return
    case 'decision':
      foldDecision(state, record)
      return
    case 'task':
      state.tasks.set(record.taskId, { taskId: record.taskId, kind: record.kind, input: record.input })
      // Its lanes live again with it, whatever an earlier task of this id came to.
      for (const lane of state.lanes.values()) if (lane.taskId === record.taskId) delete lane.endedWallMs
      return
    case 'facts': {
      const task = state.tasks.get(record.taskId)
      if (task !== undefined) task.facts = record.facts
      return
    }
    case 'end': {
      const task = state.tasks.get(record.taskId)
      if (task !== undefined) task.end = record.end
      endLanes(state, record.taskId, record.wallMs)
      return
    }
    case 'drop':
      state.tasks.delete(record.taskId)
      state.intended.delete(record.taskId)
      endLanes(state, record.taskId, record.wallMs)
      return
    case 'lane': {
      const { taskId, lane, mark, localBasedOn, endedWallMs } = record
      state.lanes.set(laneKey(taskId, lane), {
        taskId,
        lane,
        mark,
        ...(localBasedOn === undefined ? {} : { localBasedOn }),
        ...(endedWallMs === undefined ? {} : { endedWallMs }),
      })
      return
    }
    case 'intended':
      setIntention(state, record.taskId, {
        state: record.state,
        ...(record.before === undefined ? {} : { before: record.before }),
      })
  }
}

/** The fewest records that make `state` again; lanes that have outlived their task are left out. */
export function compactRecords(state: Readonly<LedgerState>, wallMs: number): readonly LedgerRecord[] {
  const replayed = [...state.outcomes.values(), ...state.intents.values()].map(({ control }) => control)
  const inUse = new Set([
    ...replayed.map((control) => laneKey(control.taskId, control.lane)),
    ...[...state.decisions.values()].map((decision) => laneKey(decision.taskId, 'state')),
  ])
  const lanes = [...state.lanes.values()].filter(
    (lane) =>
      lane.endedWallMs === undefined ||
      wallMs - lane.endedWallMs < limits.LANE_RETENTION_MS ||
      inUse.has(laneKey(lane.taskId, lane.lane)),
  )
  const touched = [...replayed, ...state.decisions.values()].map((item) => item.taskId)
  const kept = new Set(lanes.map((lane) => lane.taskId))
  const intended = [...state.intended.keys()].filter((taskId) => state.tasks.has(taskId) || kept.has(taskId))
  const records: readonly LedgerRecord[] = [
    ...[...state.tasks.values()].flatMap((task): LedgerRecord[] => [
      { type: 'task', taskId: task.taskId, kind: task.kind, input: task.input },
      ...(task.facts === undefined
        ? []
        : [{ type: 'facts' as const, taskId: task.taskId, facts: task.facts }]),
      ...(task.end === undefined
        ? []
        : [{ type: 'end' as const, taskId: task.taskId, end: task.end, wallMs }]),
    ]),
    ...[...state.outcomes.values()].flatMap(({ control, outcome }): LedgerRecord[] => [
      { type: 'intent', control, delivery: 'atMostOnce' },
      { type: 'outcome', controlId: control.controlId, outcome },
    ]),
    ...[...state.decisions.values()].map((decision): LedgerRecord => ({ type: 'decision', ...decision })),
    ...[...state.intents.values()].map(({ control, delivery }): LedgerRecord => ({
      type: 'intent',
      control,
      delivery,
    })),
    // After what moves marks and intentions on the way, so that the last word is today's.
    ...[...new Set([...intended, ...touched])].map((taskId): LedgerRecord => ({
      type: 'intended',
      taskId,
      ...(state.intended.get(taskId) ?? { state: 'running' }),
    })),
    ...lanes.map((lane): LedgerRecord => ({ type: 'lane', ...lane })),
  ]
  // Reading these back counts them, too.
  const position = state.position - records.length
  return [{ type: 'journal', journalId: state.journalId, position }, ...records]
}

function foldIntent(state: LedgerState, control: IssuedControl, delivery: Delivery): void {
  state.intents.set(control.controlId, { control, delivery })
  const lane = laneFor(state, control.taskId, control.lane)
  if (compareRevisions(control, lane.mark) > 0)
    lane.mark = { epoch: control.epoch, revision: control.revision }
  if (isStateVerb(control.action)) intend(state, control.taskId, control.action, control.controlId)
}

function foldOutcome(state: LedgerState, controlId: string, outcome: Outcome): void {
  const intent = state.intents.get(controlId)
  if (intent === undefined) return
  state.intents.delete(controlId)
  // Decided, it is only reported: of its arguments nobody needs to know any more.
  state.outcomes.set(controlId, { control: { ...intent.control, args: null }, outcome })
  const intended = state.intended.get(intent.control.taskId)
  if (outcome.state === 'failed' && intended?.before?.controlId === controlId) {
    setIntention(state, intent.control.taskId, { state: intended.before.state })
  }
}

function foldDecision(state: LedgerState, decision: DecisionReport): void {
  const { decisionId, taskId, action, basedOn } = decision
  // It rests on all that an earlier one rested on, so it says to the hub all that that one would.
  for (const earlier of state.decisions.values()) {
    if (earlier.taskId === taskId) state.decisions.delete(earlier.decisionId)
  }
  state.decisions.set(decisionId, { decisionId, taskId, action, basedOn })
  const oldest = state.decisions.keys().next()
  if (state.decisions.size > limits.LEDGER_DECISIONS_MAX && oldest.done !== true) {
    state.decisions.delete(oldest.value)
  }
  const lane = laneFor(state, taskId, 'state')
  lane.localBasedOn = basedOn
  intend(state, taskId, action)
}

const INTENDED: Record<StateVerb, IntendedState> = { cancel: 'cancelled', pause: 'paused', resume: 'running' }

/** What a verb makes of a task. */
export function intendedBy(action: StateVerb): IntendedState {
  return INTENDED[action]
}

function intend(state: LedgerState, taskId: string, action: StateVerb, controlId?: string): void {
  const current = state.intended.get(taskId)?.state ?? 'running'
  // A cancel is final: whatever comes later fails against it, and must not bring the task back.
  if (current === 'cancelled') return
  setIntention(state, taskId, {
    state: INTENDED[action],
    ...(controlId === undefined ? {} : { before: { controlId, state: current } }),
  })
}

function setIntention(state: LedgerState, taskId: string, intention: Intention): void {
  // What everything is meant to do anyway needs no memory: it would outlive tasks that never were.
  if (intention.state === 'running' && intention.before === undefined) state.intended.delete(taskId)
  else state.intended.set(taskId, intention)
}

function laneFor(state: LedgerState, taskId: string, name: string): Lane {
  const key = laneKey(taskId, name)
  const existing = state.lanes.get(key)
  if (existing !== undefined) return existing
  if (state.lanes.size >= limits.LEDGER_LANES_MAX) forgetOldestLane(state)
  const lane: Lane = { taskId, lane: name, mark: { epoch: 0, revision: 0 } }
  state.lanes.set(key, lane)
  return lane
}

/** Of a task that is over or was never held, if there is one; a hub must not make the ledger grow by naming unknown tasks. */
function forgetOldestLane(state: LedgerState): void {
  const lanes = [...state.lanes.values()]
  const isIdle = (lane: Lane): boolean => lane.endedWallMs !== undefined || !state.tasks.has(lane.taskId)
  const oldest = lanes.find(isIdle) ?? lanes[0]
  if (oldest === undefined) return
  state.lanes.delete(laneKey(oldest.taskId, oldest.lane))
  if (oldest.lane === 'state' && !state.tasks.has(oldest.taskId)) state.intended.delete(oldest.taskId)
}

function endLanes(state: LedgerState, taskId: string, wallMs: number): void {
  for (const lane of state.lanes.values()) {
    if (lane.taskId === taskId && lane.endedWallMs === undefined) lane.endedWallMs = wallMs
  }
}
