/** `npm run kills`: kills hub and agent at seeded steps, checks what operators were told against what took effect. */
import { parseArgs } from 'node:util'
import { AGENT_MUTANTS } from './agent-mutants.ts'
import { KILL_STEPS, runKill, type KillResult, type Victim } from './run-kill.ts'

const { values } = parseArgs({
  options: {
    hub: { type: 'string', default: '50' },
    agent: { type: 'string', default: '50' },
    'hub-seed': { type: 'string' },
    'agent-seed': { type: 'string' },
    mutant: { type: 'string', default: 'none' },
    jobs: { type: 'string', default: '3' },
  },
})
const single = values['hub-seed'] !== undefined || values['agent-seed'] !== undefined
const seeds = (victim: Victim): { victim: Victim; seed: number }[] => {
  const one = values[`${victim}-seed`]
  if (one !== undefined) return [{ victim, seed: Number(one) }]
  const count = single ? 0 : Number(values[victim])
  return Array.from({ length: count }, (_, index) => ({ victim, seed: index + 1 }))
}
const planned = [...seeds('hub'), ...seeds('agent')]
const jobs = Number(values.jobs)
const usable =
  planned.every(({ seed }) => Number.isSafeInteger(seed)) &&
  ['none', 'commit-before-reply', ...AGENT_MUTANTS].includes(values.mutant)
if (!usable || planned.length === 0 || !(jobs >= 1)) {
  console.error(
    'Usage: npm run kills -- [--hub N] [--agent N] [--hub-seed N] [--agent-seed N] [--mutant NAME]',
  )
  process.exit(2)
}

const results: KillResult[] = []
const work = async (): Promise<void> => {
  for (let next = planned.shift(); next !== undefined; next = planned.shift()) {
    const result = await runKill(next.victim, next.seed, values.mutant)
    results.push(result)
    report(result)
  }
}
await Promise.all(Array.from({ length: jobs }, work))
for (const victim of ['hub', 'agent'] as const) {
  const mine = results.filter((result) => result.victim === victim)
  if (mine.length === 0) continue
  const perStep = KILL_STEPS[victim].map(
    (step) => `${step} ${mine.filter((one) => one.step === step && one.wasKilled).length}`,
  )
  const accepted = mine.reduce((sum, one) => sum + one.accepted, 0)
  const effects = mine.reduce((sum, one) => sum + one.effects, 0)
  console.log(`${victim}: killed at ${perStep.join(', ')}; ${accepted} controls accepted, ${effects} effects`)
}
const failed = results.filter((result) => result.violations.length > 0 || !result.wasKilled).length
console.log(`${results.length - failed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

function report(result: KillResult): void {
  const { victim, seed, step, wasKilled, violations } = result
  if (wasKilled && violations.length === 0) return
  const flags = values.mutant === 'none' ? '' : ` --mutant ${values.mutant}`
  console.log(
    `${victim} seed ${seed} (${step}) failed; replay it with: npm run kills -- --${victim}-seed ${seed}${flags}`,
  )
  if (!wasKilled) console.log(`  the ${victim} never reached ${step}; nothing was tested`)
  for (const violation of violations.slice(0, 5)) console.log(`  ${violation}`)
}
