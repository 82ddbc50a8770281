/** The arguments of `npm run bench`. Pure. */
import { parseArgs } from 'node:util'
import type { FleetEffort } from './fleet/effort.ts'

/** What is to be measured. */
export interface BenchArguments {
  readonly suites: readonly string[]
  /** Part of the record's name; undefined if all suites run. */
  readonly name: string | undefined
  readonly effort: FleetEffort
}

/** Fewer are no figures to quote. */
const ROUNDS_MIN = 5
const ROUNDS_DEFAULT = 5
const AGENTS_MAX = 100_000
const MINUTES_MAX = 24 * 60

/** @throws TypeError for what cannot be measured; its message says what can. */
export function parseBenchArguments(args: readonly string[], known: readonly string[]): BenchArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      suite: { type: 'string' },
      rounds: { type: 'string' },
      agents: { type: 'string' },
      minutes: { type: 'string' },
      quick: { type: 'boolean', default: false },
    },
  })
  const { suite, quick } = values
  const suites = suite === undefined ? known : suite.split(',')
  const unknown = suites.find((name) => !known.includes(name))
  if (unknown !== undefined) throw new TypeError(`There is no suite "${unknown}".`)
  const rounds =
    numberOf('rounds', values.rounds, quick ? 1 : ROUNDS_MIN, 1_000) ?? (quick ? 1 : ROUNDS_DEFAULT)
  const agents = numberOf('agents', values.agents, 1, AGENTS_MAX)
  const minutes = numberOf('minutes', values.minutes, 1, MINUTES_MAX)
  return {
    suites,
    name: suite?.replaceAll(',', '-'),
    effort: {
      rounds,
      quick,
      ...(agents === undefined ? {} : { agents }),
      ...(minutes === undefined ? {} : { minutes }),
    },
  }
}

function numberOf(name: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw new TypeError(`--${name} must be a whole number from ${min} to ${max}; it is "${text}".`)
}
