/** The metrics of one hub as Prometheus text: what is counted elsewhere in plain numbers is read here, when it is asked for. */
import type { Histogram } from './histogram.ts'

/** Labels of one sample; their values come from closed sets, never from agents or operators. */
export type Labels = Readonly<Record<string, string>>
/** One value of a metric. */
export type Sample = readonly [labels: Labels, value: number]

/** A metric that is read when asked for. */
export interface Metric {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  /** The lines behind its name, such as `_total{code="x"} 3`. */
  readonly lines: () => readonly string[]
}

/** The media type of {@link renderMetrics}. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** A number that only grows; `name` ends in `_total`. */
export function counter(name: string, help: string, read: () => number | readonly Sample[]): Metric {
  return { name, type: 'counter', help, lines: () => samplesOf(name, read()) }
}

/** A number that goes up and down. */
export function gauge(name: string, help: string, read: () => number | readonly Sample[]): Metric {
  return { name, type: 'gauge', help, lines: () => samplesOf(name, read()) }
}

/** Buckets, sum and count, for each label set one histogram. */
export function histogram(
  name: string,
  help: string,
  parts: readonly (readonly [labels: Labels, histogram: Histogram])[],
): Metric {
  return {
    name,
    type: 'histogram',
    help,
    lines: () => parts.flatMap(([labels, part]) => bucketLines(name, labels, part)),
  }
}

/** All of them as text. */
export function renderMetrics(metrics: readonly Metric[]): string {
  const lines = metrics.flatMap(({ name, type, help, lines: own }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...own(),
  ])
  return `${lines.join('\n')}\n`
}

function samplesOf(name: string, value: number | readonly Sample[]): readonly string[] {
  const samples = typeof value === 'number' ? [[{}, value] as const] : value
  return samples.map(([labels, number]) => `${name}${labelText(labels)} ${number}`)
}

function bucketLines(name: string, labels: Labels, { bounds, counts, sum }: Histogram): readonly string[] {
  let total = 0
  const buckets = counts.map((count, index) => {
    total += count
    return `${name}_bucket${labelText({ ...labels, le: String(bounds[index] ?? '+Inf') })} ${total}`
  })
  const own = labelText(labels)
  return [...buckets, `${name}_sum${own} ${sum}`, `${name}_count${own} ${total}`]
}

/** Label values are words of this program: nothing in them needs an escape. */
function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${value}"`)
  return parts.length === 0 ? '' : `{${parts.join(',')}}`
}
