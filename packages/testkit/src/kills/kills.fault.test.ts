/** Whether the kill tests would notice: agents that leave out a promise must be found. */
import { expect, test } from 'vitest'
import { AGENT_MUTANTS } from './agent-mutants.ts'
import { runFleetKills } from './fleet-kills.ts'
import { HUB_MUTANTS } from './hub-mutants.ts'
import { runKill } from './run-kill.ts'

/** Killed right after a verb has been applied, or inside it, with verbs that must not be applied twice. */
const SEEDS = [5, 9, 12, 19, 23, 26, 33, 37]

test.each(AGENT_MUTANTS)(
  'given an agent of the kind %s > the checker finds it',
  async (mutant) => {
    let found: readonly string[] = []
    for (const seed of SEEDS) {
      const { violations } = await runKill('agent', seed, mutant)
      found = violations.filter((violation) => !violation.startsWith('error:'))
      if (found.length > 0) break
    }
    expect(found, `${SEEDS.length} kills with ${mutant} passed; the checker no longer sees it`).not.toEqual(
      [],
    )
  },
  240_000,
)

test.each(Object.keys(HUB_MUTANTS))(
  'given a hub of the kind %s under a fleet > the checker finds it',
  async (mutant) => {
    const { violations } = await runFleetKills(1, { agents: 10, rate: 40, kills: 4, mutant })
    const found = violations.filter((violation) => violation.startsWith('audit:'))
    expect(found, `Four kills of ${mutant} passed; the trail is no longer compared`).not.toEqual([])
  },
  240_000,
)
