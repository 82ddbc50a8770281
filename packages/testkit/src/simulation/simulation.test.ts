import { describe, expect, test } from 'vitest'
import type { Mutant } from './sim-hub.ts'
import { runWorld } from './world.ts'

const replay = (seed: number, mutant: Mutant): string =>
  `replay it with: npm run simulate -- --seed ${seed}${mutant === 'none' ? '' : ` --mutant ${mutant}`}`

describe('given hub and agent over a channel that loses, delays, doubles and reorders', () => {
  test('nothing acknowledged is lost, nothing decided twice, nothing stale applied, everything settles', () => {
    for (let seed = 10_001; seed <= 10_150; seed++) {
      expect(runWorld(seed).violations, replay(seed, 'none')).toEqual([])
    }
  })

  test('a seed makes the same run twice', () => {
    expect(runWorld(7), 'something in the machines reads a clock or rolls a die of its own').toEqual(
      runWorld(7),
    )
  })

  test('a run is worth its time: controls, effects and crashes happen', () => {
    const run = runWorld(3)
    expect(run.accepted).toBeGreaterThan(10)
    expect(run.effects).toBeGreaterThan(5)
    expect(run.crashes).toBeGreaterThan(3)
  })

  test.each<Mutant>(['dedupe', 'supersession', 'commit-before-reply', 'stale-check'])(
    'without %s > the checker finds it',
    (mutant) => {
      const found = Array.from({ length: 60 }, (_, index) => runWorld(index + 1, mutant)).some(
        (run) => run.violations.length > 0,
      )
      expect(found, `60 seeds without ${mutant} passed; the simulation no longer reaches the case`).toBe(true)
    },
  )
})
