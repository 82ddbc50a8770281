/** `npm run simulate`: runs seeds and prints those that fail, with the command that replays one. */
import { parseArgs } from 'node:util'
import { runOriginalWorld } from './original-world.ts'
import type { Mutant } from './sim-hub.ts'
import { runWorld, type RunResult } from './world.ts'

const SHOWN_MAX = 5

/** The kinds of agents, and what can be left out of the design with each. */
const WORLDS: readonly {
  readonly name: string
  readonly run: (seed: number, mutant: Mutant) => RunResult
  readonly mutants: readonly Mutant[]
}[] = [
  {
    name: 'ours',
    run: runWorld,
    mutants: [
      'none',
      'dedupe',
      'supersession',
      'commit-before-reply',
      'stale-check',
      'forgetful-compaction',
      'verb-again',
      'any-position',
    ],
  },
  {
    name: 'original',
    run: runOriginalWorld,
    mutants: [
      'none',
      'supersession',
      'commit-before-reply',
      'settle-after-one-sync',
      'verbs-again',
      'overtaken-tasks',
    ],
  },
]

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    first: { type: 'string', default: '1' },
    seed: { type: 'string' },
    agent: { type: 'string' },
    mutant: { type: 'string', default: 'none' },
  },
})
const mutants = [...new Set(WORLDS.flatMap((world) => world.mutants))]
const mutant = mutants.find((name) => name === values.mutant)
const worlds = WORLDS.filter(({ name }) => values.agent === undefined || name === values.agent)
const first = Number(values.seed ?? values.first)
const count = values.seed === undefined ? Number(values.seeds) : 1
const isUsable = Number.isSafeInteger(first) && Number.isSafeInteger(count) && count >= 1
if (mutant === undefined || worlds.length === 0 || !isUsable) {
  const agents = WORLDS.map(({ name }) => name).join('|')
  console.error(
    `Usage: npm run simulate -- [--seeds N] [--first N] [--seed N] [--agent ${agents}] [--mutant ${mutants.join('|')}]`,
  )
  process.exit(2)
}

let failed = 0
let runs = 0
for (const world of worlds.filter((each) => each.mutants.includes(mutant))) {
  const results = Array.from({ length: count }, (_, index) => world.run(first + index, mutant))
  const failures = results.filter((result) => result.violations.length > 0)
  runs += results.length
  failed += failures.length
  for (const { seed, violations } of failures.slice(0, SHOWN_MAX)) {
    const flags = `--agent ${world.name}${mutant === 'none' ? '' : ` --mutant ${mutant}`}`
    console.log(`seed ${seed} failed; replay it with: npm run simulate -- --seed ${seed} ${flags}`)
    for (const violation of violations.slice(0, SHOWN_MAX)) console.log(`  ${violation}`)
  }
  if (failures.length > SHOWN_MAX) console.log(`and ${failures.length - SHOWN_MAX} more seeds`)
  const sum = (figure: 'accepted' | 'effects' | 'crashes'): number =>
    results.reduce((total, result) => total + result[figure], 0)
  console.log(
    `${world.name}: ${count} seeds, ${sum('accepted')} controls accepted, ${sum('effects')} effects, ${sum('crashes')} crashes`,
  )
}
console.log(`${runs - failed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
