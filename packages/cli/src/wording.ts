/** The words in which the command speaks of agents, tasks and controls. */
import type { AgentPresence, ControlRecord, PresenceReason, TaskState } from '@downlink/protocol'
import type { Cell, Tone } from './output.ts'
import { durationText } from './duration.ts'

const TASK_TONES: Readonly<Record<TaskState, Tone>> = {
  assigned: 'plain',
  queued: 'plain',
  running: 'good',
  paused: 'still',
  cancelled: 'still',
  completed: 'good',
  failed: 'bad',
  gone: 'still',
}

const TASK_WORDS: Readonly<Record<TaskState, string>> = {
  assigned: 'waiting for the agent',
  queued: 'queued',
  running: 'running',
  paused: 'paused',
  cancelled: 'cancelled',
  completed: 'completed',
  failed: 'failed',
  gone: 'no longer listed',
}

const PRESENCE_TONES: Readonly<Record<AgentPresence, Tone>> = {
  online: 'good',
  late: 'still',
  offline: 'bad',
  cloned: 'bad',
  blocked: 'bad',
  revoked: 'bad',
}

const PRESENCE_REASONS: Readonly<Record<PresenceReason, string>> = {
  seen: 'it sent something',
  silent: 'nothing came from it in time',
  unproven: 'its stream is open, but nothing shows that it brings anything',
  'good-bye': 'it said good-bye',
  'two-copies': 'two copies of it show life; stop one of them',
  blocked: 'it says that something keeps it from its work',
  revoked: 'an operator revoked it',
}

/** A task's state; a word that this version does not know is shown as it is. */
export function taskStateCell(state: TaskState, diverged: boolean): Cell {
  const text = Object.hasOwn(TASK_WORDS, state) ? TASK_WORDS[state] : state
  if (diverged) return { text: `${text}, but works again`, tone: 'bad' }
  return { text, tone: Object.hasOwn(TASK_TONES, state) ? TASK_TONES[state] : 'plain' }
}

/** Whether an agent can be reached. */
export function presenceCell(status: AgentPresence): Cell {
  return { text: status, tone: Object.hasOwn(PRESENCE_TONES, status) ? PRESENCE_TONES[status] : 'plain' }
}

/** Why an agent's presence changed; a word that this version does not know is shown as it is. */
export function presenceReasonText(reason: PresenceReason): string {
  return Object.hasOwn(PRESENCE_REASONS, reason) ? PRESENCE_REASONS[reason] : reason
}

/** Whether nothing more comes of a task. */
export function isFinished(state: TaskState): boolean {
  return state === 'cancelled' || state === 'completed' || state === 'failed' || state === 'gone'
}

/** What has become true once `action` is observed. */
export function observedText(action: string): string {
  switch (action) {
    case 'pause':
      return 'is paused'
    case 'resume':
      return 'goes on'
    case 'cancel':
      return 'is cancelled'
    default:
      return `has applied ${action}`
  }
}

/** The sentence about a control that will never be so. */
export function endedText(record: ControlRecord): string {
  const what = `${record.action} of ${record.taskId} on ${record.agentId}`
  const yet =
    record.mayHaveApplied === true ? ' The agent had it already, so it may still have applied it.' : ''
  const { outcome } = record
  switch (outcome.state) {
    case 'failed':
      return `The ${what} failed: ${outcome.message} (${outcome.code})`
    case 'expired':
      return `The ${what} expired before the agent took it.${yet} Send it again when the agent is online.`
    case 'superseded':
      return `The ${what} was superseded by a newer control, ${outcome.byControlId}.${yet}`
    case 'applied':
      return `The ${what} came too late: the task had ended by itself. Look at: downlink tasks ${record.agentId}`
    case 'pending':
    case 'delivered':
      return `The ${what} went to an agent that confirms nothing; whether it applied it is not known. Look at: downlink tasks ${record.agentId}`
  }
}

/** The sentence about a control whose wait has ended. */
export function notYetText(record: ControlRecord, waitedMs: number): string {
  const what = `${record.action} of ${record.taskId} on ${record.agentId}`
  const reason = {
    pending:
      'the agent has not fetched it; it will when it is back. See whether it is online: downlink agents',
    delivered: 'the agent has it and has not answered yet. Wait longer, such as --wait 1m',
    applied: 'the agent has applied it, and the task does not show it yet. Wait longer, such as --wait 1m',
    expired: '',
    superseded: '',
    failed: '',
  }[record.outcome.state]
  return `Not known yet: after ${durationText(waitedMs)} of waiting for the ${what}, ${reason}.`
}
