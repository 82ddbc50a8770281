/** Around the tests of one file: every process that they start records its exchanges, which are judged after the last test. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, inject, type RunnerTask } from 'vitest'
import type { Exchange } from '../../packages/testkit/src/exchanges/exchange.ts'
import { reportOf, type ExchangeReport } from '../../packages/testkit/src/exchanges/exchange-report.ts'
import { exchangeValidator, type ExampleApplications } from './documents.ts'

/** What a test file leaves for the end of the run. */
export interface FileExchanges {
  readonly path: string
  /** Whether all of its tests ran. */
  readonly isComplete: boolean
  readonly counts: ExchangeReport['counts']
}

/** The test files that start no hub, each with what they start. */
const WITHOUT_HUB: Readonly<Record<string, string>> = {
  'flood.test.ts': 'servers that send what no hub does',
}

/** The test files whose hubs are parts of applications. */
const APPLICATIONS: Readonly<Record<string, ExampleApplications>> = {
  'examples.test.ts': {
    basePath: '/downlink',
    ownPaths: /^\/(?:$|start\/|end\/|agents\/)/,
    syncMembers: ['motd'],
  },
}

const PRELOAD = new URL('../fixtures/record-exchanges.js', import.meta.url).href
const runFolder = inject('exchangesFolder')
const folder = mkdtempSync(join(runFolder, 'file-'))
process.env.DOWNLINK_TEST_EXCHANGES = folder
process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --import=${PRELOAD}`.trim()

// oxlint-disable-next-line no-empty-pattern -- Vitest reads from it that no fixture is wanted.
afterAll(({}, { file }) => {
  const path = file.filepath
  const name = basename(path)
  const isComplete = file.tasks.every(isRun)
  const { counts, faults } = reportOf(recorded(), exchangeValidator(APPLICATIONS[name]))
  rmSync(folder, { recursive: true, force: true })
  const result: FileExchanges = { path, isComplete, counts }
  writeFileSync(join(runFolder, `${name}.json`), JSON.stringify(result))
  if (faults.length > 0) {
    throw new Error(
      `Exchanges of ${name} are not as documented. PROTOCOL.md and the types decide: mend the route or its schema in packages/hub/src/operator, and run npm run api; of the agents' API, mend the hub or vectors/agent-api/openapi.json.\n- ${faults.join('\n- ')}`,
    )
  }
  if (isComplete && Object.keys(counts).length === 0 && !(name in WITHOUT_HUB)) {
    throw new Error(
      `No exchange of ${name} was recorded. Start its hubs with this process's environment (NODE_OPTIONS, DOWNLINK_TEST_EXCHANGES), or name the file in e2e/exchanges/test-file.ts if it starts none.`,
    )
  }
})

function* recorded(): Iterable<Exchange> {
  for (const name of readdirSync(folder)) {
    for (const line of readFileSync(join(folder, name), 'utf8').split('\n')) {
      if (line !== '') yield JSON.parse(line) as Exchange
    }
  }
}

function isRun(task: RunnerTask): boolean {
  if (task.type === 'suite') return task.tasks.every(isRun)
  return task.result?.state === 'pass' || task.result?.state === 'fail'
}
