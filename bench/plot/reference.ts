/** The records that README and docs quote, and the two files that are drawn from them. */
import { readdirSync, readFileSync } from 'node:fs'
import type { Row, RunRecord } from '../report.ts'
import { resultsPage } from './page.ts'
import { standalone } from './svg.ts'
import { targetsChart } from './targets-chart.ts'

const RESULTS = new URL('../results/', import.meta.url)

/** Where each drawing is kept, from the root of the project. */
export const DRAWINGS = { chart: 'docs/performance.svg', page: 'bench/results/index.html' } as const

/** All that are committed, in the order of their names. */
export function readReferences(): readonly RunRecord[] {
  return readdirSync(RESULTS)
    .filter((name) => /^reference-.*\.json$/.test(name))
    .toSorted()
    .map((name) => JSON.parse(readFileSync(new URL(name, RESULTS), 'utf8')) as RunRecord)
}

/** The text of each drawing, by its path. */
export function draw(records: readonly RunRecord[]): Readonly<Record<string, string>> {
  const rows = records.flatMap((record): readonly Row[] => record.rows)
  const title = 'Downlink’s figures beside their targets'
  return { [DRAWINGS.chart]: standalone(targetsChart(rows, title)), [DRAWINGS.page]: resultsPage(records) }
}
