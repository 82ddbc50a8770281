/** The page of all figures: what was measured when and where, a picture of the targets, and each row with its peers. Pure. */
import { verdictOf, withUnit, type Row, type RunRecord } from '../report.ts'
import { figuresChart } from './figures-chart.ts'
import { element, escapeXml, PICTURE_STYLE } from './svg.ts'
import { targetsChart } from './targets-chart.ts'

const STYLE = `
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{padding:.2rem .6rem .2rem 0;text-align:left;vertical-align:top}
td.number{white-space:nowrap}.missed{font-weight:600}.quiet{opacity:.7}svg{max-width:100%;height:auto}
tr.figures td{padding:0 0 1rem 1rem}`

/** A whole HTML document without scripts and without anything from elsewhere. */
export function resultsPage(records: readonly RunRecord[]): string {
  const body = [
    element('h1', {}, 'Downlink, measured'),
    element(
      'p',
      {},
      'Each figure is the median of its rounds, with the range; × is a ratio within one round. The line in a bar is the range. ' +
        'Printed by <code>npm run bench</code>, drawn by <code>npm run bench:plot</code>.',
    ),
    ...records.map(section),
  ]
  const head = `<meta charset="utf-8"><title>Downlink, measured</title>${element('style', {}, STYLE + PICTURE_STYLE)}`
  return `<!doctype html>\n<html lang="en">\n<head>${head}</head>\n<body>\n${body.join('\n')}\n</body>\n</html>\n`
}

function section(record: RunRecord): string {
  const { machine, versions, rows, rounds, date } = record
  const suites = [...new Set(rows.map(({ suite }) => suite))].join(', ')
  const where = [
    date.slice(0, 10),
    `${rounds} rounds`,
    `${machine.cores} cores (${machine.cpu}), ${machine.memoryGiB} GiB, ${machine.os}`,
    ...Object.entries(versions).map(([name, version]) => `${name} ${version}`),
  ].join(' · ')
  return [
    element('h2', {}, escapeXml(suites)),
    element('p', { class: 'quiet' }, escapeXml(where)),
    targetsChart(rows, `${suites}: results beside their targets`),
    element('table', {}, `${rows.map(tableRow).join('\n')}`),
  ].join('\n')
}

function tableRow(row: Row): string {
  const { result, target, unit, name } = row
  const verdict = verdictOf(row)
  const reach =
    target === undefined ? '' : `${target.is === 'at least' ? '≥' : '≤'} ${withUnit(target.value, unit)}`
  const cells = [
    element('td', {}, escapeXml(name)),
    element('td', { class: 'number' }, escapeXml(withUnit(result.median, unit))),
    element(
      'td',
      { class: 'number quiet' },
      escapeXml(`${withUnit(result.min, '')}–${withUnit(result.max, '')}`),
    ),
    element('td', { class: 'number quiet' }, escapeXml(reach)),
    element('td', { class: verdict }, verdict),
  ].join('')
  const figures = figuresChart(row)
  const drawn =
    figures === undefined ? '' : element('tr', { class: 'figures' }, element('td', { colspan: 5 }, figures))
  return element('tr', {}, cells) + drawn
}
