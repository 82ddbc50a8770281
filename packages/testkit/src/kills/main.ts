/** `npm run kills`: kills hub and agent at seeded steps, checks what operators were told against what took effect. */
import { parseArgs } from 'node:util'
import { AGENT_MUTANTS } from './agent-mutants.ts'
import { FLEET_KILLS_MAX, runFleetKills, type FleetResult } from './fleet-kills.ts'
import { HUB_MUTANTS } from './hub-mutants.ts'
import { KILL_STEPS, runKill, type KillResult, type Victim } from './run-kill.ts'

const { values } = parseArgs({
  options: {
    hub: { type: 'string' },
    agent: { type: 'string' },
    'hub-seed': { type: 'string' },
    'agent-seed': { type: 'string' },
    agents: { type: 'string' },
    rate: { type: 'string', default: '20' },
    'fleet-seed': { type: 'string' },
    mutant: { type: 'string', default: 'none' },
    jobs: { type: 'string', default: '3' },
  },
})
const KILLS_DEFAULT = 50
const isFleet = values.agents !== undefined
const single = values['hub-seed'] !== undefined || values['agent-seed'] !== undefined
const seeds = (victim: Victim): { victim: Victim; seed: number }[] => {
  const one = values[`${victim}-seed`]
  if (one !== undefined) return [{ victim, seed: Number(one) }]
  const count = single || isFleet ? 0 : Number(values[victim] ?? KILLS_DEFAULT)
  return Array.from({ length: count }, (_, index) => ({ victim, seed: index + 1 }))
}
const planned = [...seeds('hub'), ...seeds('agent')]
const fleets = isFleet ? fleetSeeds() : []
const jobs = Number(values.jobs)
const usable =
  planned.every(({ seed }) => Number.isSafeInteger(seed)) &&
  fleets.every(({ seed, kills }) => Number.isSafeInteger(seed) && kills >= 1) &&
  (!isFleet || (Number(values.agents) >= 1 && Number(values.rate) > 0 && values.agent === undefined)) &&
  ['none', ...Object.keys(HUB_MUTANTS), ...AGENT_MUTANTS].includes(values.mutant)
if (!usable || planned.length + fleets.length === 0 || !(jobs >= 1)) {
  console.error(
    'Usage: npm run kills -- [--hub N] [--agent N] [--hub-seed N] [--agent-seed N] [--mutant NAME], or for a fleet under one hub: --agents N [--rate N] [--hub N] [--fleet-seed N]',
  )
  process.exit(2)
}
const flags = values.mutant === 'none' ? '' : ` --mutant ${values.mutant}`

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
let passed = results.filter((result) => result.violations.length === 0 && result.wasKilled).length
let failed = results.length - passed
for (const { seed, kills } of fleets) {
  const plan = { agents: Number(values.agents), rate: Number(values.rate), kills, mutant: values.mutant }
  const result = await runFleetKills(seed, plan)
  reportFleet(result, kills)
  if (result.violations.length === 0) passed += kills
  else failed += kills
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

/** So many kills, a bounded number on the same data. */
function fleetSeeds(): readonly { seed: number; kills: number }[] {
  const total = Number(values.hub ?? KILLS_DEFAULT)
  const one = values['fleet-seed']
  if (one !== undefined) return [{ seed: Number(one), kills: Math.min(total, FLEET_KILLS_MAX) }]
  return Array.from({ length: Math.ceil(total / FLEET_KILLS_MAX) }, (_, index) => ({
    seed: index + 1,
    kills: Math.min(FLEET_KILLS_MAX, total - index * FLEET_KILLS_MAX),
  }))
}

function report(result: KillResult): void {
  const { victim, seed, step, wasKilled, violations } = result
  if (wasKilled && violations.length === 0) return
  console.log(
    `${victim} seed ${seed} (${step}) failed; replay it with: npm run kills -- --${victim}-seed ${seed}${flags}`,
  )
  if (!wasKilled) console.log(`  the ${victim} never reached ${step}; nothing was tested`)
  for (const violation of violations.slice(0, 5)) console.log(`  ${violation}`)
}

function reportFleet(result: FleetResult, kills: number): void {
  const { seed, killedAt, asked, accepted, effects, auditEntries, violations } = result
  const perStep = [...killedAt].map(([step, count]) => `${step} ${count}`)
  console.log(
    `fleet seed ${seed}: hub killed at ${perStep.join(', ')}; ${asked} controls asked for, ${accepted} accepted, ${effects} effects, ${auditEntries} audit entries`,
  )
  if (violations.length === 0) return
  console.log(
    `fleet seed ${seed} failed; replay it with: npm run kills -- --agents ${values.agents} --rate ${values.rate} --hub ${kills} --fleet-seed ${seed}${flags}`,
  )
  for (const violation of violations.slice(0, 10)) console.log(`  ${violation}`)
}
