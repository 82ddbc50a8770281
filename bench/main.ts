/** `npm run bench`: measures Downlink beside its peers, prints a table and writes JSON below bench/results. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { arch, cpus, platform, release, totalmem } from 'node:os'
import { parseBenchArguments, type BenchArguments } from './bench-arguments.ts'
import { formatTable, verdictOf, type Row, type RunRecord } from './report.ts'
import { SUITES } from './suites.ts'

const USAGE = [
  'Usage: npm run bench -- [--suite NAME[,NAME]] [--rounds N] [--quick]',
  '  --suite    only these; all by default:',
  ...Object.entries(SUITES).map(([name, { title }]) => `               ${name.padEnd(10)} ${title}`),
  '  --rounds   rounds of each row, 5 at least for figures to quote; 5 by default',
  '  --agents, --minutes   of the suite hold; 19000 and 10 by default',
  '  --quick    short rounds and small fleets, to see that all runs; writes no JSON',
].join('\n')

const args = argumentsOrEnd()
const { effort } = args
const progress = (row: Row): void => console.error(`measured ${row.name}`)
const rows: Row[] = []
const skipped: string[] = []
console.error(estimate())
for (const name of args.suites) {
  const suite = SUITES[name]
  if (suite === undefined) continue
  const missing = suite.missing()
  if (missing !== undefined) {
    skipped.push(`${suite.rowCount} rows of ${name}: ${missing}`)
    continue
  }
  console.error(`${name}: ${suite.title}`)
  rows.push(...(await suite.rows(effort, progress)))
}

console.log(formatTable(rows))
const missed = rows.filter((row) => verdictOf(row) === 'missed')
console.log(`\n${missed.length} of ${rows.filter((row) => row.target !== undefined).length} targets missed.`)
for (const what of skipped) console.log(`Skipped ${what}.`)
if (!effort.quick) console.log(`Written to ${write(args)}.`)

function argumentsOrEnd(): BenchArguments {
  try {
    return parseBenchArguments(process.argv.slice(2), Object.keys(SUITES))
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
    process.exit(2)
  }
}

function estimate(): string {
  const seconds = args.suites.reduce((sum, name) => sum + (SUITES[name]?.seconds(effort) ?? 0), 0)
  const minutes = Math.max(1, Math.round(seconds / 60))
  return `About ${minutes} min for ${args.suites.join(', ')}, ${effort.rounds} rounds${effort.quick ? ', quick' : ''}.`
}

/** Git ignores all runs but those that are added by force, as the reference for the README. */
function write({ name }: BenchArguments): string {
  const date = new Date().toISOString()
  const record: RunRecord = {
    date,
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      os: `${platform()} ${release().split('-')[0]} ${arch()}`,
    },
    versions: {
      node: process.version,
      ...versionsOf('better-sse', 'eventsource', 'eventsource-parser'),
      ...programVersion('nginx', ['-v'], /nginx\/(\S+)/),
      ...programVersion('gcc', ['-dumpfullversion'], /(\S+)/),
    },
    rounds: effort.rounds,
    rows,
  }
  const folder = new URL('results/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  const file = `${date.slice(0, 10)}${name === undefined ? '' : `-${name}`}.json`
  writeFileSync(new URL(file, folder), `${JSON.stringify(record, undefined, 2)}\n`)
  return `bench/results/${file}`
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

/** What a program on the machine says of itself; nothing where it is missing. */
function programVersion(
  program: string,
  options: readonly string[],
  version: RegExp,
): Record<string, string> {
  const { stdout, stderr } = spawnSync(program, options, { encoding: 'utf8' })
  const found = version.exec(`${stdout ?? ''}${stderr ?? ''}`)?.[1]
  return found === undefined ? {} : { [program]: found }
}
