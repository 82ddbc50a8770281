/** Numbers of tests, and how they are read from what a run leaves behind. */

import { relative } from 'node:path'

/** How many passed, failed and were skipped. */
export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** A line for each failure that has a name: where it is, and what it says first. */
  readonly failures: readonly string[]
}

export const NO_TESTS: Counts = { passed: 0, failed: 0, skipped: 0, failures: [] }

/** How `npm test` ends: the failures by name, since logs are often cut to their end, then the line that programs read. */
export function formatCounts({ passed, failed, skipped, failures }: Counts): string {
  return [
    ...failures.map((each) => `FAILED ${each}`),
    `${passed} passed, ${failed} failed, ${skipped} skipped`,
  ].join('\n')
}

export function sumCounts(counts: readonly Counts[]): Counts {
  return counts.reduce(
    (sum, each) => ({
      passed: sum.passed + each.passed,
      failed: sum.failed + each.failed,
      skipped: sum.skipped + each.skipped,
      failures: [...sum.failures, ...each.failures],
    }),
    NO_TESTS,
  )
}

/**
 * Reads the last line `N passed, N failed` (and `, N skipped`) of a command's output.
 * A command that failed counts as at least one failure, and so does one that ends without such a line.
 */
export function countsOfOutput(output: string, ok: boolean): Counts {
  const last = Array.from(output.matchAll(/^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\r?$/gm)).at(-1)
  if (last === undefined) return { ...NO_TESTS, failed: 1 }
  const [, passed, failed, skipped = 0] = last
  return atLeastOneFailed(
    { ...NO_TESTS, passed: Number(passed), failed: Number(failed), skipped: Number(skipped) },
    ok,
  )
}

/** The part of Vitest's JSON report that is read. */
interface VitestReport {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly status: string
      readonly fullName: string
      readonly failureMessages?: readonly string[]
    }[]
  }[]
}

/**
 * Reads Vitest's JSON report; a file that did not load counts as one failure, as does a failed run without any.
 * @param root - the folder that the names of files are shown from
 */
export function countsOfVitestReport(report: string, ok: boolean, root: string): Counts {
  const { testResults } = JSON.parse(report) as VitestReport
  const counts = testResults.map(({ name, status, message, assertionResults }): Counts => {
    const file = relative(root, name)
    const failures = assertionResults
      .filter((test) => test.status === 'failed')
      .map((test) => `${file} > ${test.fullName}: ${firstLine(test.failureMessages?.[0] ?? '')}`)
    if (status === 'failed' && failures.length === 0) failures.push(`${file}: ${firstLine(message)}`)
    const passed = assertionResults.filter((test) => test.status === 'passed').length
    const failed = failures.length
    const notRun = assertionResults.filter((test) => !['passed', 'failed'].includes(test.status)).length
    return { passed, failed, skipped: notRun, failures }
  })
  const sum = sumCounts(counts)
  if (ok || sum.failed > 0) return sum
  return { ...sum, failed: 1, failures: ['a run of which every test passed: look above at how it ended'] }
}

function firstLine(text: string): string {
  return text.trimStart().split('\n', 1)[0] ?? ''
}

function atLeastOneFailed(counts: Counts, ok: boolean): Counts {
  return ok || counts.failed > 0 ? counts : { ...counts, failed: 1 }
}
