/** The append-only log of what really took effect, written by the agent's process and read by the checker. */
import { isStateVerb } from '@downlink/protocol'
import { fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { AcceptedControl } from '../simulation/checker.ts'
import type { Effect } from '../simulation/effect.ts'

/** The log in the directory of an agent. */
export const EFFECTS_FILE = 'effects.jsonl'

/** One line of the log. */
export type EffectLine =
  /** The application was told a control, with all that the agent knows of it. */
  | ({ readonly type: 'told' } & Effect)
  /** A verb of a task ran. It knows its number only; whose it is, only the operator can say. */
  | { readonly type: 'verb'; readonly atMs: number; readonly life: number; readonly number: number }
  /** The application was told a decision made on its own machine. */
  | {
      readonly type: 'local'
      readonly atMs: number
      readonly life: number
      readonly taskId: string
      readonly action: string
    }
  /** `decide` resolved: the decision was made for good. */
  | { readonly type: 'decided'; readonly taskId: string; readonly action: string }

/** Appends to the log; each line is on disk when it returns. */
export function openEffects(file: string): (line: EffectLine) => void {
  const log = openSync(file, 'a')
  return (line) => {
    writeSync(log, `${JSON.stringify(line)}\n`)
    fsyncSync(log)
  }
}

/** The lines so far. */
export function readEffects(file: string): readonly EffectLine[] {
  let text = ''
  try {
    text = readFileSync(file, 'utf8')
  } catch {
    // Nothing has taken effect yet.
  }
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as EffectLine)
}

/** A control as it was accepted, with what tells whose a numbered effect is. */
export interface NumberedControl extends AcceptedControl {
  readonly number: number
  readonly epoch: number
  readonly revision: number
  readonly lane: string
  readonly delivery: 'atMostOnce' | 'atLeastOnce'
}

/** The effects as the checker knows them, in their order. */
export function effectsOf(
  lines: readonly EffectLine[],
  accepted: readonly NumberedControl[],
): readonly Effect[] {
  const byNumber = new Map(accepted.map((control) => [control.number, control]))
  const newest = new Map<string, { epoch: number; revision: number }>()
  return lines.flatMap((line): Effect[] => {
    if (line.type === 'decided') return []
    if (line.type === 'verb') {
      const control = byNumber.get(line.number)
      const { atMs, life } = line
      if (control !== undefined) return [{ ...control, atMs, life }]
      const nobodys = `nobody's ${line.number}`
      const unknown = { taskId: '?', lane: nobodys, action: '?', epoch: 0, revision: 0 }
      return [{ ...unknown, atMs, life, controlId: nobodys, delivery: 'atMostOnce' }]
    }
    if (line.type === 'local') {
      // It rests at least on what took effect before it: nothing of that may come after it.
      const { atMs, life, taskId, action } = line
      const basedOn = newest.get(taskId) ?? { epoch: 0, revision: 0 }
      return [{ atMs, life, taskId, action, lane: 'state', delivery: 'atLeastOnce', ...basedOn }]
    }
    const { type: _, ...effect } = line
    if (isStateVerb(effect.action))
      newest.set(effect.taskId, { epoch: effect.epoch, revision: effect.revision })
    return [effect]
  })
}

/** What is wrong with the decisions that were made on the machine. */
export function localViolations(
  lines: readonly EffectLine[],
  accepted: readonly AcceptedControl[],
): readonly string[] {
  const told = new Set(lines.flatMap((line) => (line.type === 'local' ? [line.taskId] : [])))
  const unheard = accepted.flatMap(({ controlId, taskId, action, final }) =>
    final?.outcome.state === 'superseded' && final.outcome.byControlId === 'local' && !told.has(taskId)
      ? [`local: ${action} ${taskId} (${controlId}) gave way to a local decision that nobody was told of`]
      : [],
  )
  const open: string[] = []
  const lost = lines.flatMap((line) => {
    if (line.type === 'local') open.push(`${line.action} ${line.taskId}`)
    if (line.type !== 'decided') return []
    const index = open.indexOf(`${line.action} ${line.taskId}`)
    if (index >= 0) open.splice(index, 1)
    return index >= 0 ? [] : [`local: ${line.action} ${line.taskId} was decided and the application not told`]
  })
  return [...unheard, ...lost]
}
