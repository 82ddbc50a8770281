/** Sums up what the exchanges of one test file came to. */
import type { Exchange } from './exchange.ts'
import type { ExchangeValidator } from './exchange-validator.ts'

/** What was asked of one operation, or of none. */
export interface OperationCounts {
  exchanges: number
  /** Those that were answered with a success. */
  successes: number
  /** Those with a body that could not be looked at. */
  cut: number
}

/** What the exchanges of a test file came to. */
export interface ExchangeReport {
  /** By operation, or by what kind of request it was that none is for. */
  readonly counts: Readonly<Record<string, OperationCounts>>
  /** Each difference from the document once, with an example. */
  readonly faults: readonly string[]
}

const EXAMPLE_CHARS_MAX = 600

/** Judges all of them. */
export function reportOf(exchanges: Iterable<Exchange>, validator: ExchangeValidator): ExchangeReport {
  const counts: Record<string, OperationCounts> = {}
  const found = new Map<string, { times: number; readonly example: string }>()
  for (const exchange of exchanges) {
    const { operation, faults, isCut, isSuccess } = validator.judge(exchange)
    const count = (counts[operation] ??= { exchanges: 0, successes: 0, cut: 0 })
    count.exchanges += 1
    if (isSuccess) count.successes += 1
    if (isCut) count.cut += 1
    for (const fault of faults) {
      const text = `${operation}: ${fault}`
      const seen = found.get(text)
      if (seen === undefined) found.set(text, { times: 1, example: exampleOf(exchange) })
      else seen.times += 1
    }
  }
  return {
    counts,
    faults: Array.from(found, ([text, { times, example }]) => `${text} (${times} ×, such as ${example})`),
  }
}

/** The counts of several reports together. */
export function sumOperationCounts(
  reports: readonly ExchangeReport['counts'][],
): Readonly<Record<string, OperationCounts>> {
  const sum: Record<string, OperationCounts> = {}
  for (const [operation, { exchanges, successes, cut }] of reports.flatMap((each) => Object.entries(each))) {
    const before = sum[operation] ?? { exchanges: 0, successes: 0, cut: 0 }
    sum[operation] = {
      exchanges: before.exchanges + exchanges,
      successes: before.successes + successes,
      cut: before.cut + cut,
    }
  }
  return sum
}

function exampleOf({ method, url, status, requestBody, replyBody }: Exchange): string {
  const text = `${method ?? '?'} ${url ?? '?'} ${requestBody ?? ''} → ${status} ${replyBody ?? ''}`
  // Keys and tokens are made for the test, and still none of a log's business.
  return text.replaceAll(/\b(dl[aeo]\.)[\w.~:@-]+/g, '$1…').slice(0, EXAMPLE_CHARS_MAX)
}
