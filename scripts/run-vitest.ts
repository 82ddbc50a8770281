/** Runs one of the projects of vitest.config.ts and counts its tests. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Counts } from './counts.ts'
import { countsOfVitestReport, NO_TESTS } from './counts.ts'
import { ROOT, runCommand } from './run-command.ts'
import type { CommandResult } from './run-command.ts'

export interface TestRun extends CommandResult {
  readonly counts: Counts
}

/**
 * Runs the tests of `project`; with `files`, only these.
 * @param echo - whether Vitest's output is shown while it arrives
 */
export async function runVitest(
  project: string,
  echo: boolean,
  files: readonly string[] = [],
): Promise<TestRun> {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-tests-'))
  const reportFile = join(folder, 'report.json')
  try {
    const { ok, output } = await runCommand(
      'vitest',
      [
        'run',
        '--project',
        project,
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${reportFile}`,
        ...files,
      ],
      { echo },
    )
    return { ok, output, counts: countsOfVitestReport(readFileSync(reportFile, 'utf8'), ok, ROOT) }
  } catch (error) {
    const output = `Vitest left no report (${String(error)}); run npx vitest run --project ${project} to see why.\n`
    return { ok: false, output, counts: { ...NO_TESTS, failed: 1, failures: [output.trimEnd()] } }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
