/** Rounds that alternate between subjects, and what is said of them: medians, ranges and ratios within one round. */

/** Median and extremes of the figures of all rounds. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** One figure of each subject, measured in the same round. */
export type Round<Subject extends string> = Readonly<Record<Subject, number>>

/**
 * Measures each subject once per round. The order turns with each round, so that a drift of the machine, or what one
 * subject leaves behind for the next, meets all alike.
 */
export async function inRounds<Subject extends string>(
  rounds: number,
  subjects: readonly Subject[],
  measure: (subject: Subject, round: number) => number | Promise<number>,
): Promise<Round<Subject>[]> {
  const results: Round<Subject>[] = []
  for (let round = 0; round < rounds; round += 1) {
    const figures: Partial<Record<Subject, number>> = {}
    for (let turn = 0; turn < subjects.length; turn += 1) {
      const subject = subjects[(turn + round) % subjects.length] as Subject
      figures[subject] = await measure(subject, round)
    }
    results.push(figures as Round<Subject>)
  }
  return results
}

/** The spread of one subject's figures. */
export function spreadOf<Subject extends string>(
  rounds: readonly Round<Subject>[],
  subject: Subject,
): Spread {
  return spread(rounds.map((round) => round[subject]))
}

/** The spread of `subject / base`, each ratio taken within its own round. */
export function ratioOf<Subject extends string>(
  rounds: readonly Round<Subject>[],
  subject: Subject,
  base: Subject,
): Spread {
  return spread(rounds.map((round) => round[subject] / round[base]))
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)]
  const lower = sorted[Math.ceil(middle) - 1]
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (upper === undefined || lower === undefined || min === undefined || max === undefined) {
    throw new RangeError('There is no spread of no values. Measure at least one round.')
  }
  return { median: (lower + upper) / 2, min, max }
}
