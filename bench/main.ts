/** `npm run bench`: measures Downlink beside its peers, prints a table and writes JSON below bench/results. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { arch, cpus, platform, release, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { agentIdleRows } from './agent-idle.bench.ts'
import { clientRows } from './client.bench.ts'
import { codecMemoryRows } from './codec-memory.bench.ts'
import { codecRows, type Effort } from './codec.bench.ts'
import { formatTable, verdictOf, type Row, type RunRecord } from './report.ts'

const USAGE =
  'Usage: npm run bench -- [--suite codec|client|agent] [--rounds N] [--quick]\n' +
  '  --suite   only that one; all by default\n' +
  '  --rounds  rounds of each row, 5 at least for figures to quote; 7 by default\n' +
  '  --quick   short rounds, to see that all runs; writes no JSON'
const ROUNDS_MIN = 5

const { values } = parseArgs({
  options: {
    suite: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
})
const quick = values.quick
const rounds = Number(values.rounds ?? (quick ? 1 : 7))
const knownSuite = values.suite === undefined || ['codec', 'client', 'agent'].includes(values.suite)
if (!knownSuite || !Number.isSafeInteger(rounds) || rounds < (quick ? 1 : ROUNDS_MIN)) {
  console.error(USAGE)
  process.exit(2)
}

const effort: Effort = { rounds, quick }
const progress = (row: Row): void => console.error(`measured ${row.name}`)
const rows: Row[] = []
const wants = (suite: string): boolean => values.suite === undefined || values.suite === suite
if (wants('codec')) {
  rows.push(...(await codecRows(effort, progress)), ...(await codecMemoryRows(effort, progress)))
}
if (wants('client')) rows.push(...(await clientRows(effort, progress)))
if (wants('agent')) rows.push(...(await agentIdleRows(effort, progress)))

console.log(formatTable(rows))
const missed = rows.filter((row) => verdictOf(row) === 'missed')
console.log(`\n${missed.length} of ${rows.filter((row) => row.target !== undefined).length} targets missed.`)
if (!quick) console.log(`Written to ${write()}.`)

/** Git ignores all runs but those that are added by force, as the reference for the README. */
function write(): string {
  const date = new Date().toISOString()
  const record: RunRecord = {
    date,
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      os: `${platform()} ${release().split('-')[0]} ${arch()}`,
    },
    versions: { node: process.version, ...versionsOf('eventsource', 'eventsource-parser') },
    rounds,
    rows,
  }
  const folder = new URL('results/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  const suite = values.suite === undefined ? '' : `-${values.suite}`
  const file = new URL(`${date.slice(0, 10)}${suite}.json`, folder)
  writeFileSync(file, `${JSON.stringify(record, undefined, 2)}\n`)
  return `bench/results/${date.slice(0, 10)}${suite}.json`
}

function versionsOf(...names: string[]): Record<string, string> {
  const resolve = createRequire(import.meta.url).resolve
  return Object.fromEntries(
    names.map((name) => {
      const path = resolve(name)
      const folder = path.slice(0, path.lastIndexOf(`node_modules/${name}/`))
      const manifest = readFileSync(`${folder}node_modules/${name}/package.json`, 'utf8')
      return [name, (JSON.parse(manifest) as { version: string }).version]
    }),
  )
}
