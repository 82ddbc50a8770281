/** `npm test`: everything; it ends with the names of what failed and the line `N passed, N failed, N skipped`. */

import { globSync } from 'node:fs'

import './node-version.js'
import { check } from './check.ts'
import { checkPackages } from './check-packages.ts'
import type { Counts } from './counts.ts'
import { countsOfOutput, formatCounts, NO_TESTS, sumCounts } from './counts.ts'
import { ROOT, runCommand } from './run-command.ts'
import { runVitest } from './run-vitest.ts'
import { provideTools, testsNeeding, TOOLS } from './tools.ts'

const PROJECTS = [
  { project: 'fault', tests: 'packages/*/src/**/*.fault.test.ts' },
  { project: 'e2e', tests: 'e2e/**/!(*.network).test.ts' },
  { project: 'network', tests: 'e2e/**/*.network.test.ts' },
] as const

const COMMANDS: readonly (readonly string[])[] = [
  ['simulate', '--seeds', '2000'],
  ['kills', '--hub', '20', '--agent', '20'],
  ['kills', '--agents', '50', '--rate', '20', '--hub', '20'],
  ['fuzz', '--minutes', '1'],
]

const results = [await check(true)]
console.log('\n── packages, as packed')
results.push(await checkPackages())
const skipped = new Set(testsNeeding(await provideTools(TOOLS)))
for (const { project, tests } of PROJECTS) results.push(await runProject(project, tests))
for (const [script = '', ...args] of COMMANDS) results.push(await runScript(script, args))
const total = sumCounts(results)
if (total.failed > 0) process.exitCode = 1
console.log(`\n${formatCounts(total)}`)

/** A test file that is skipped for want of a tool counts as one. */
async function runProject(project: string, tests: string): Promise<Counts> {
  console.log(`\n── ${project} tests`)
  const files = globSync(tests, { cwd: ROOT }).toSorted()
  const runnable = files.filter((file) => !skipped.has(file))
  const left: Counts = { ...NO_TESTS, skipped: files.length - runnable.length }
  if (files.length > 0 && runnable.length === 0) return left
  const { counts } = await runVitest(project, true, runnable)
  return sumCounts([left, counts])
}

async function runScript(script: string, args: readonly string[]): Promise<Counts> {
  console.log(`\n── npm run ${script} -- ${args.join(' ')}`)
  const { ok, output } = await runCommand('npm', ['run', '--silent', script, '--', ...args], { echo: true })
  const counts = countsOfOutput(output, ok)
  return counts.failed === 0 ? counts : { ...counts, failures: [`npm run ${script} -- ${args.join(' ')}`] }
}
