/** `npm run simulate`: runs seeds and prints those that fail, with the command that replays one. */
import { parseArgs } from 'node:util'
import type { Mutant } from './sim-hub.ts'
import { runWorld, type RunResult } from './world.ts'

const MUTANTS: readonly Mutant[] = ['none', 'dedupe', 'supersession', 'commit-before-reply', 'stale-check']
const SHOWN_MAX = 5

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '2000' },
    first: { type: 'string', default: '1' },
    seed: { type: 'string' },
    mutant: { type: 'string', default: 'none' },
  },
})
const mutant = MUTANTS.find((name) => name === values.mutant)
const first = Number(values.seed ?? values.first)
const count = values.seed === undefined ? Number(values.seeds) : 1
if (mutant === undefined || !Number.isSafeInteger(first) || !Number.isSafeInteger(count) || count < 1) {
  console.error(
    `Usage: npm run simulate -- [--seeds N] [--first N] [--seed N] [--mutant ${MUTANTS.join('|')}]`,
  )
  process.exit(2)
}

const failed: RunResult[] = []
let accepted = 0
let effects = 0
let crashes = 0
for (let seed = first; seed < first + count; seed++) {
  const result = runWorld(seed, mutant)
  accepted += result.accepted
  effects += result.effects
  crashes += result.crashes
  if (result.violations.length > 0) failed.push(result)
}
for (const result of failed.slice(0, SHOWN_MAX)) {
  const flags = mutant === 'none' ? '' : ` --mutant ${mutant}`
  console.log(`seed ${result.seed} failed; replay it with: npm run simulate -- --seed ${result.seed}${flags}`)
  for (const violation of result.violations.slice(0, SHOWN_MAX)) console.log(`  ${violation}`)
}
if (failed.length > SHOWN_MAX) console.log(`and ${failed.length - SHOWN_MAX} more seeds`)
console.log(`${count} seeds: ${accepted} controls accepted, ${effects} effects, ${crashes} crashes`)
console.log(`${count - failed.length} passed, ${failed.length} failed`)
process.exitCode = failed.length > 0 ? 1 : 0
