/** One control in a test hub, and the questions that the rules ask of it. */
import {
  isTerminalStatus,
  type ControlState,
  type Delivery,
  type IssuedControl,
  type Json,
  type LanePolicy,
  type TaskReport,
  type TaskState,
} from '@downlink/protocol'

/** How a control stands. */
export interface TestControl extends IssuedControl {
  readonly delivery: Delivery
  readonly outcome: ControlState
  /** The task's own report shows it; of a verb of the application's own, the agent's word is all there is. */
  readonly isObserved: boolean
  /** It is no longer handed out, but was written once, so the agent may still apply it. */
  readonly mayHaveApplied: boolean
  /** What the agent said after the control had been superseded. */
  readonly lateOutcome?: ControlState
  /** An observed cancel that a later sync contradicted. */
  readonly hasDiverged: boolean
}

/** How a task stands. */
export interface TestTask {
  readonly taskId: string
  /** Absent for a task that the agent tracks by itself, until it says so. */
  readonly kind?: string
  readonly state: TaskState
  /** As the agent's last sync reported it, with progress, message, result and log. */
  readonly report?: TaskReport
}

/** What a test asks for. */
export interface ControlWish {
  readonly action: string
  readonly taskId: string
  readonly args?: Json
  /** @defaultValue a new one */
  readonly controlId?: string
  /** @defaultValue `queue`; state verbs keep the latest */
  readonly lanePolicy?: LanePolicy
  /** @defaultValue `atMostOnce`; state verbs `atLeastOnce` */
  readonly delivery?: Delivery
}

/** A control as the mailbox keeps it. @internal */
export type Entry = { -readonly [K in keyof TestControl]: TestControl[K] } & {
  isWritten: boolean
  readonly lanePolicy: LanePolicy
  /** Which life of the hub made it. */
  readonly life: number
  /** An applied cancel whose task then reported another end: its absence later is no cancel. */
  endedOtherwise: boolean
}

/** A task that the hub made, or that the agent listed. @internal */
export interface TaskEntry {
  readonly taskId: string
  kind?: string
  readonly input?: Json
  /** A task that only the agent knows is forgotten when it is no longer listed. */
  readonly isHubMade: boolean
  state: TaskState
  report?: TaskReport
}

/** Whether two controls contend: same task, same lane. @internal */
export function sameLane(a: IssuedControl, b: IssuedControl): boolean {
  return a.taskId === b.taskId && a.lane === b.lane
}

/** The control as it goes over the wire. @internal */
export function issuedOf(entry: Entry): IssuedControl {
  const { controlId, epoch, revision, lane, action, taskId, args, delivery } = entry
  const control = { controlId, epoch, revision, lane, action, taskId, args }
  return lane === 'state' ? control : { ...control, delivery }
}

/** Whether the report shows what the verb wants. @internal */
export function shows(action: string, status: string | undefined): boolean {
  // An agent lists a task until the hub has seen its end, so absence after an applied cancel is that end.
  if (status === undefined) return action === 'cancel'
  if (action === 'cancel') return status === 'cancelled'
  if (action === 'pause') return status === 'paused'
  return status === 'running' || status === 'queued' || status === 'completed'
}

/** Whether the task is over, and not by a cancel. @internal */
export function endedOtherwise(status: string): boolean {
  return isTerminalStatus(status) && status !== 'cancelled'
}

/** What a report makes of a task's state. @internal */
export function stateReported(before: TaskState, status: string): TaskState {
  // Ends that nothing takes back; a cancel may turn out not to have been one.
  if (before === 'completed' || before === 'failed') return before
  switch (status) {
    case '':
      return before === 'assigned' ? 'queued' : before
    case 'queued':
    case 'paused':
    case 'cancelled':
    case 'completed':
    case 'failed':
      return status
    case 'error':
      return 'failed'
    default:
      return 'running'
  }
}
