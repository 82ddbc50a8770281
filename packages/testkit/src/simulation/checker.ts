/** Says what is wrong with a run, from what operators were told and what really happened; knows no machine's insides. */
import type { ControlState } from '@downlink/protocol'
import type { Effect } from './effect.ts'

/** A control as an operator knows it: what was accepted, and what it said in the end. */
export interface AcceptedControl {
  readonly controlId: string
  readonly taskId: string
  readonly action: string
  /** Undefined: the hub no longer knows it. */
  readonly final: { readonly outcome: ControlState; readonly mayHaveApplied: boolean } | undefined
}

/** What a run leaves to be checked. */
export interface Evidence {
  readonly accepted: readonly AcceptedControl[]
  readonly effects: readonly Effect[]
  /** The journal was lost, or a backup restored: what was decided before may be decided again, except `atMostOnce`. */
  readonly memoryLost: boolean
  /** A backup was restored: controls accepted after it was taken are gone, older intentions may come back. */
  readonly historyLost: boolean
}

/** Everything wrong with the run; empty if nothing is. */
export function violations(evidence: Evidence): readonly string[] {
  return [
    ...unsettledOrLost(evidence),
    ...appliedWithoutEffect(evidence),
    ...effectWithoutApplied(evidence),
    ...twice(evidence),
    ...stale(evidence),
  ]
}

const describe = (control: AcceptedControl): string =>
  `${control.action} ${control.taskId} (${control.controlId})`

function unsettledOrLost({ accepted, historyLost }: Evidence): string[] {
  return accepted.flatMap((control) => {
    if (control.final === undefined)
      return historyLost ? [] : [`lost: ${describe(control)} was accepted and is unknown`]
    const { state } = control.final.outcome
    const settled = state !== 'pending' && state !== 'delivered'
    return settled ? [] : [`unsettled: ${describe(control)} is still ${state} after the calm`]
  })
}

function appliedWithoutEffect({ accepted, effects }: Evidence): string[] {
  const done = new Set(effects.map((effect) => effect.controlId))
  return accepted.flatMap((control) =>
    control.final?.outcome.state === 'applied' && !done.has(control.controlId)
      ? [`lost: ${describe(control)} is said to be applied and never was`]
      : [],
  )
}

function effectWithoutApplied({ accepted, effects, memoryLost, historyLost }: Evidence): string[] {
  const byId = new Map(accepted.map((control) => [control.controlId, control]))
  return effects.flatMap((effect) => {
    if (effect.controlId === undefined) return []
    const control = byId.get(effect.controlId)
    if (control === undefined) {
      return historyLost
        ? []
        : [
            `unaccepted: ${effect.action} ${effect.taskId} (${effect.controlId}) was applied, but no operator was told that it was accepted`,
          ]
    }
    const final = control.final
    if (final === undefined || final.outcome.state === 'applied' || final.mayHaveApplied) return []
    const { outcome } = final
    const mayHave =
      outcome.state === 'failed' && ['interrupted', 'journal_lost', 'history_lost'].includes(outcome.code)
    return mayHave || memoryLost || historyLost
      ? []
      : [`contradiction: ${describe(control)} took effect and is said to be ${outcome.state}`]
  })
}

function twice({ effects, memoryLost }: Evidence): string[] {
  const seen = new Map<string, Effect>()
  return effects.flatMap((effect) => {
    if (effect.controlId === undefined) return []
    const first = seen.get(effect.controlId)
    seen.set(effect.controlId, effect)
    if (first === undefined) return []
    const again = `${effect.action} ${effect.taskId} (${effect.controlId}) at ${first.atMs} and ${effect.atMs}`
    if (effect.delivery === 'atMostOnce') return [`twice: ${again}, and it is atMostOnce`]
    // A crash in between is the one thing that lets a level-triggered effect happen again.
    return first.life === effect.life && !memoryLost ? [`twice: ${again}, with no crash between`] : []
  })
}

function stale({ effects, memoryLost, historyLost }: Evidence): string[] {
  if (memoryLost || historyLost) return []
  const newest = new Map<string, Effect>()
  return effects.flatMap((effect) => {
    const lane = `${effect.taskId} ${effect.lane}`
    const before = newest.get(lane)
    newest.set(lane, effect)
    if (before === undefined || effect.controlId === undefined) return []
    const order = effect.epoch - before.epoch || effect.revision - before.revision
    if (order > 0 || (order === 0 && effect.controlId === before.controlId)) return []
    const than =
      before.controlId === undefined
        ? 'a local decision that knew of it'
        : `${before.action} (${before.controlId})`
    return [`stale: ${effect.action} ${effect.taskId} (${effect.controlId}) was applied after ${than}`]
  })
}

/** Whether the newest thing that was decided about a task is what the task does. */
export function divergence(
  taskId: string,
  world: string | undefined,
  intended: string | undefined,
): readonly string[] {
  if (world === undefined || intended === undefined || world === 'completed' || world === intended) return []
  return [`diverged: ${taskId} is ${world} and was last told to be ${intended}`]
}
