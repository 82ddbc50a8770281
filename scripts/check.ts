/** `npm run check`: what must hold before every commit, in under a minute. */

import './node-version.js'
import { API_REMEDY, apiFaultsOf } from './api-report.ts'
import { DOCS_REMEDY, docsFaultsOf } from './check-docs.ts'
import { LOCK_REMEDY, lockFaultsOf } from './check-lock.ts'
import { RANK_REMEDY, rankFaultsOf } from './check-ranks.ts'
import { sourceFaultsOf } from './check-sources.ts'
import type { Counts } from './counts.ts'
import { formatCounts, NO_TESTS, sumCounts } from './counts.ts'
import type { CommandResult } from './run-command.ts'
import { ROOT, runCommand } from './run-command.ts'
import { OPENAPI_REMEDY, openapiFaultsOf } from './openapi-report.ts'
import { runSteps } from './run-steps.ts'
import type { Step } from './run-steps.ts'
import { runVitest } from './run-vitest.ts'

/** Steps that run side by side; the linter keeps about one core busy. */
const LANES = 2

/** First and alone: the linter reads the declarations that it builds. */
const TYPES_STEP: Step = {
  name: 'types',
  remedy: 'Correct the types; npm run watch shows them while you edit.',
  run: () => runCommand('tsc', ['-b']),
}

const STATIC_STEPS: readonly Step[] = [
  {
    name: 'lint',
    remedy: 'Correct the lines; each rule is explained in .oxlintrc.json or at the address it prints.',
    run: () => runCommand('oxlint', ['--type-aware', '--max-warnings', '0']),
  },
  {
    name: 'dead',
    remedy:
      'Remove what nobody uses, or its export; entries that a program starts by name stand in knip.json.',
    run: () => runCommand('knip', ['--no-progress', '--no-config-hints']),
  },
  {
    name: 'format',
    remedy: 'Run npm run format.',
    run: () => runCommand('oxfmt', ['--check', '.']),
  },
  {
    name: 'sources',
    remedy: 'Correct the lines; the rules are in scripts/check-sources.ts.',
    run: () => resultOf(sourceFaultsOf(ROOT)),
  },
  { name: 'ranks', remedy: RANK_REMEDY, run: () => resultOf(rankFaultsOf(ROOT)) },
  { name: 'api', remedy: API_REMEDY, run: () => resultOf(apiFaultsOf(ROOT)) },
  {
    name: 'openapi',
    remedy: OPENAPI_REMEDY,
    run: async () => resultOf(await openapiFaultsOf(ROOT)),
  },
  { name: 'docs', remedy: DOCS_REMEDY, run: () => resultOf(docsFaultsOf(ROOT)) },
  { name: 'lock', remedy: LOCK_REMEDY, run: () => resultOf(lockFaultsOf(ROOT)) },
]

/**
 * Runs every step and prints their results; the tests only if `testsAnyway` or if all before them is well.
 * @returns the numbers of tests; a step that failed counts as one more failure
 */
export async function check(testsAnyway: boolean): Promise<Counts> {
  const failed = [...(await runSteps([TYPES_STEP], 1)), ...(await runSteps(STATIC_STEPS, LANES))]
  const failures = failed.map((step) => `step ${step} of npm run check`)
  const steps: Counts = { ...NO_TESTS, failed: failed.length, failures }
  if (failed.length > 0 && !testsAnyway) return steps
  let tests = NO_TESTS
  const testStep: Step = {
    name: 'tests',
    remedy: 'Run one file again by npx vitest run FILE.',
    run: async () => {
      const result = await runVitest('fast', false)
      tests = result.counts
      return result
    },
  }
  await runSteps([testStep], 1)
  return sumCounts([steps, tests])
}

function resultOf(faults: readonly string[]): CommandResult {
  return { ok: faults.length === 0, output: faults.join('\n') }
}

if (import.meta.main) {
  const counts = await check(false)
  console.log(formatCounts(counts))
  if (counts.failed > 0) process.exitCode = 1
}
