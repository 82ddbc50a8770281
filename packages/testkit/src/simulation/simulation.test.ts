import { describe, expect, test } from 'vitest'
import { runOriginalWorld } from './original-world.ts'
import type { Mutant } from './sim-hub.ts'
import { runWorld, type RunResult } from './world.ts'

type Run = (seed: number, mutant?: Mutant) => RunResult

const replay = (seed: number, agent: string): string =>
  `replay it with: npm run simulate -- --seed ${seed} --agent ${agent}`

describe.each<[string, Run]>([
  ['ours', runWorld],
  ['original', runOriginalWorld],
])('given a hub and an agent (%s) over a channel that loses, delays and reorders', (agent, run) => {
  test('nothing acknowledged is lost, nothing is done twice, nothing untrue is shown, everything settles', () => {
    for (let seed = 10_001; seed <= 10_150; seed++) {
      expect(run(seed).violations, replay(seed, agent)).toEqual([])
    }
  })

  test('a seed makes the same run twice', () => {
    expect(run(7), 'something in the machines reads a clock or rolls a die of its own').toEqual(run(7))
  })

  test('a run is worth its time: controls, effects and crashes happen', () => {
    const { accepted, effects, crashes } = run(3)
    expect(accepted).toBeGreaterThan(10)
    expect(effects).toBeGreaterThan(5)
    expect(crashes).toBeGreaterThan(3)
  })
})

const mutants: readonly [Mutant, string, Run, number][] = [
  ['dedupe', 'ours', runWorld, 60],
  ['supersession', 'ours', runWorld, 60],
  ['commit-before-reply', 'ours', runWorld, 60],
  ['stale-check', 'ours', runWorld, 60],
  ['forgetful-compaction', 'ours', runWorld, 60],
  ['verb-again', 'ours', runWorld, 60],
  ['any-position', 'ours', runWorld, 120],
  ['supersession', 'original', runOriginalWorld, 60],
  ['commit-before-reply', 'original', runOriginalWorld, 60],
  ['settle-after-one-sync', 'original', runOriginalWorld, 60],
  ['verbs-again', 'original', runOriginalWorld, 60],
  ['overtaken-tasks', 'original', runOriginalWorld, 500],
]

describe('given a part of the design that is left out', () => {
  test.each(mutants)('%s, agent %s > the checker finds it', (mutant, agent, run, seeds) => {
    const isFound = Array.from({ length: seeds }, (_, index) => index + 1).some(
      (seed) => run(seed, mutant).violations.length > 0,
    )
    expect(
      isFound,
      `${seeds} seeds with ${mutant} passed (${agent}); the simulation no longer reaches the case`,
    ).toBe(true)
  })
})
