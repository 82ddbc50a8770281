/** What becomes of controls, counted as it is committed. */
import {
  field,
  isJsonObject,
  type ControlState,
  type Json,
  type JsonObject,
  type StampName,
} from '@downlink/protocol'
import { Histogram, LONG_SECONDS } from '../metrics/histogram.ts'
import type { HistoryEntry } from '../store/store.ts'
import type { Mailbox } from './mailbox.ts'

/** How a control may settle. */
export const SETTLED_STATES = ['applied', 'failed', 'expired', 'superseded'] as const
/** The stamps to which the time from `created` is measured. */
export const MEASURED_STAMPS = ['written', 'applied', 'observed'] as const

/** The counts of one hub. */
export class ControlCounts {
  created = 0
  readonly settled: Record<(typeof SETTLED_STATES)[number], number> = {
    applied: 0,
    failed: 0,
    expired: 0,
    superseded: 0,
  }
  /** From the stamp `created` to this one, by the hub's wall clock, s. */
  readonly seconds: Record<(typeof MEASURED_STAMPS)[number], Histogram> = {
    written: new Histogram(LONG_SECONDS),
    applied: new Histogram(LONG_SECONDS),
    observed: new Histogram(LONG_SECONDS),
  }
  /** Of all agents together. */
  open = 0
  /** Of the agents that have, or had, open controls: how many, as of which version of the mailbox. */
  readonly #ofAgents = new Map<string, { readonly version: number; readonly open: number }>()

  /** A change was committed. */
  committed(history: readonly HistoryEntry[]): void {
    for (const { kind, data } of history) {
      if (kind === 'control.created') this.created++
      else if (kind === 'control.settled') this.#settled(data)
      else if (kind === 'control.observed') this.#measure(data, 'observed')
    }
  }

  /** A mailbox was read or has changed; an older one than was seen before says nothing. */
  take({ agentId, version, open }: Mailbox): void {
    const before = this.#ofAgents.get(agentId)
    if (before === undefined ? open.length === 0 : version < before.version) return
    this.open += open.length - (before?.open ?? 0)
    this.#ofAgents.set(agentId, { version, open: open.length })
  }

  #settled(data: Json): void {
    const outcome = isJsonObject(data) ? (data['outcome'] as unknown as ControlState) : undefined
    const state = SETTLED_STATES.find((known) => known === outcome?.state)
    if (state !== undefined) this.settled[state]++
    for (const stamp of MEASURED_STAMPS) this.#measure(data, stamp)
  }

  #measure(data: Json, stamp: keyof ControlCounts['seconds']): void {
    const stamps = isJsonObject(data) ? field(data, 'stamps') : undefined
    if (!isJsonObject(stamps)) return
    const seconds = (momentOf(stamps, stamp) - momentOf(stamps, 'created')) / 1_000
    if (!Number.isNaN(seconds)) this.seconds[stamp].observe(seconds)
  }
}

/** By the wall clock, ms; NaN without that stamp. */
function momentOf(stamps: JsonObject, name: StampName): number {
  const stamp = field(stamps, name)
  const at = isJsonObject(stamp) ? field(stamp, 'at') : undefined
  return typeof at === 'string' ? Date.parse(at) : NaN
}
