/**
 * Around all end-to-end tests of a run: the folder for what their test files found out about their exchanges, and, once
 * every file has run, that each operation of both APIs was among them.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import {
  sumOperationCounts,
  type OperationCounts,
} from '../../packages/testkit/src/exchanges/exchange-report.ts'
import { exchangeValidator } from './documents.ts'
import type { FileExchanges } from './test-file.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** Where every test file leaves its {@link FileExchanges}. */
    readonly exchangesFolder: string
  }
}

/** The operations that no end-to-end test has a use for, each with the reason. */
const NOT_SEEN: Readonly<Record<string, string>> = {}

/** Called by Vitest before the first test file; what it returns is called after the last. */
export function setup(project: TestProject): () => Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-exchanges-'))
  project.provide('exchangesFolder', folder)
  return async () => {
    const files = readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as FileExchanges)
    rmSync(folder, { recursive: true, force: true })
    const counts = sumOperationCounts(files.map((file) => file.counts))
    console.log(`\n${tableOf(counts)}`)
    const { testFiles } = await project.globTestFiles()
    const left = testFiles.filter((path) => !files.some((file) => file.path === path && file.isComplete))
    if (left.length > 0) {
      console.log(
        `Whether every operation was seen is not judged: ${left.length} test files did not run, or not all of their tests.`,
      )
      return
    }
    const faults = coverageFaults(counts)
    if (faults.length > 0) throw new Error(faults.join('\n'))
  }
}

function coverageFaults(counts: Readonly<Record<string, OperationCounts>>): readonly string[] {
  const isSeen = (operation: string): boolean => (counts[operation]?.successes ?? 0) > 0
  const { operations } = exchangeValidator()
  return [
    ...operations
      .filter((operation) => !isSeen(operation) && !(operation in NOT_SEEN))
      .map(
        (operation) =>
          `No end-to-end test has ${operation} answered with a success: add one, or name it with the reason in e2e/exchanges/run.ts.`,
      ),
    ...Object.keys(NOT_SEEN)
      .filter((operation) => isSeen(operation) || !operations.includes(operation))
      .map(
        (operation) =>
          `${operation} is named as not seen in e2e/exchanges/run.ts, and is seen, or is none: remove it.`,
      ),
  ]
}

function tableOf(counts: Readonly<Record<string, OperationCounts>>): string {
  const entries = Object.entries(counts).toSorted(([, a], [, b]) => b.exchanges - a.exchanges)
  const total = (name: keyof OperationCounts): number =>
    entries.reduce((sum, [, count]) => sum + count[name], 0)
  const operations = entries.filter(([operation]) => !operation.startsWith('(')).length
  const lines = entries.map(
    ([operation, { exchanges, successes, cut }]) =>
      `  ${operation}: ${exchanges}, ${successes} of them successes${cut === 0 ? '' : `, ${cut} with a body not looked at`}`,
  )
  return [
    `exchanges validated: ${total('exchanges')} of ${operations} operations, ${total('successes')} of them successes, ${total('cut')} with a body not looked at`,
    ...lines,
  ].join('\n')
}
