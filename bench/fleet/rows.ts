/** Rows out of rounds of several figures of several subjects. */
import type { Row, Target } from '../report.ts'
import { ratioOf, spreadOf, type Round } from '../rounds.ts'

/** All figures of one subject in one round. */
export type Figures<Name extends string> = Readonly<Record<Name, number>>

/** What is said of one figure. */
export interface RowPlan<Name extends string> {
  readonly suite: string
  readonly name: string
  /** The figure of ours. */
  readonly ours: Name
  /** The figure of the base that ours is compared with. @defaultValue the same one */
  readonly base?: Name
  readonly target?: Target
}

const OURS = 'downlink'

/**
 * The row of one figure: ours as a ratio of the base's within each round, or by itself where there is no base.
 * A subject that has no such figure in some round (`NaN`) is left out.
 */
export function rowOf<Name extends string>(
  plan: RowPlan<Name>,
  rounds: readonly Readonly<Record<string, Figures<Name>>>[],
  base: string | undefined,
): Row {
  const { suite, name, ours, target } = plan
  const baseFigure = plan.base ?? ours
  const subjects = Object.keys(rounds[0] ?? {})
  const figureIn = (round: Readonly<Record<string, Figures<Name>>>, subject: string): number =>
    round[subject]?.[subject === OURS ? ours : baseFigure] ?? Number.NaN
  const flat = rounds.map((round): Round<string> =>
    Object.fromEntries(subjects.map((subject) => [subject, figureIn(round, subject)])),
  )
  const known = subjects.filter((subject) => flat.every((round) => Number.isFinite(round[subject])))
  const figures = Object.fromEntries(known.map((subject) => [subject, spreadOf(flat, subject)]))
  return base !== undefined && known.includes(base)
    ? { suite, name, unit: '×', result: ratioOf(flat, OURS, base), target, figures }
    : { suite, name, unit: '', result: spreadOf(flat, OURS), target: undefined, figures }
}
