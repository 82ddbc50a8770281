/** Numbers of tests, and how they are read from what a run leaves behind. */

/** How many passed, failed and were skipped. */
export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export const NO_TESTS: Counts = { passed: 0, failed: 0, skipped: 0 }

/** The line that ends `npm test`; programs read it. */
export function formatCounts({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

export function sumCounts(counts: readonly Counts[]): Counts {
  return counts.reduce(
    (sum, each) => ({
      passed: sum.passed + each.passed,
      failed: sum.failed + each.failed,
      skipped: sum.skipped + each.skipped,
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
  return atLeastOneFailed({ passed: Number(passed), failed: Number(failed), skipped: Number(skipped) }, ok)
}

/** The part of Vitest's JSON report that is read. */
interface VitestReport {
  readonly testResults: readonly {
    readonly status: string
    readonly assertionResults: readonly { readonly status: string }[]
  }[]
}

/** Reads Vitest's JSON report; a file that did not load counts as one failure, as does a failed run without any. */
export function countsOfVitestReport(report: string, ok: boolean): Counts {
  const { testResults } = JSON.parse(report) as VitestReport
  const statuses = testResults.flatMap(({ status, assertionResults }) => {
    const tests = assertionResults.map((each) => each.status)
    return status === 'failed' && !tests.includes('failed') ? [...tests, 'failed'] : tests
  })
  const failed = statuses.filter((status) => status === 'failed').length
  const passed = statuses.filter((status) => status === 'passed').length
  return atLeastOneFailed({ passed, failed, skipped: statuses.length - passed - failed }, ok)
}

function atLeastOneFailed(counts: Counts, ok: boolean): Counts {
  return ok || counts.failed > 0 ? counts : { ...counts, failed: 1 }
}
