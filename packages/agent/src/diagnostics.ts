/**
 * What an agent publishes on `node:diagnostics_channel`, for tracing and metrics; it costs nothing while nobody has
 * subscribed. The names and payloads are part of the public surface; payloads hold no key, no input and no arguments.
 */
import type { OutcomeReport, SyncRequest } from '@downlink/protocol'
import { channel, tracingChannel, type Channel } from 'node:diagnostics_channel'
import type { ConnectionStatus } from './downlink/connection-state.ts'
import type { EventStream } from './stream/event-stream.ts'
import type { AgentStatus } from './options.ts'

/** The steps of a control on its way through an agent, in order; `decided` comes for every arrival of it. */
export type ControlStep = 'received' | 'decided' | 'journalled' | 'applied' | 'acknowledged'

/** The payloads by channel. */
export interface AgentDiagnostics {
  /** A stream is dialled. */
  'downlink:agent:connect': { readonly agentId: string; readonly hub: string }
  /** A dial, or an open stream, failed, or a `wake` did. */
  'downlink:agent:connect-failed': {
    readonly agentId: string
    readonly hub: string
    readonly code: string
    readonly message: string
    readonly failureCount: number
    readonly retryInMs: number | undefined
  }
  'downlink:agent:stream-open': { readonly agentId: string; readonly url: string }
  'downlink:agent:stream-close': {
    readonly agentId: string
    readonly url: string
    /** As `StreamEnd` names it. */
    readonly reason: string
    readonly code: string | undefined
  }
  'downlink:agent:control': {
    readonly step: ControlStep
    /** Begins with the agent's id. */
    readonly controlId: string
    readonly taskId?: string
    readonly action?: string
    /** Of `decided`: the ledger's verdict. */
    readonly verdict?: 'accept' | 'duplicate' | 'stale' | 'full'
    /** Of `applied`: what came of it. */
    readonly outcome?: OutcomeReport['state']
  }
  /** A pause, resume or cancel made on this machine is on disk, and then in effect. */
  'downlink:agent:decision': {
    readonly step: 'journalled' | 'applied'
    readonly decisionId: string
    readonly taskId: string
    readonly action: string
  }
  /** Standing, downlink, mirror or remedy has changed. */
  'downlink:agent:standing': { readonly agentId: string; readonly status: AgentStatus }
}

/**
 * The payload of the tracing channel `downlink:agent:sync` (`tracing:downlink:agent:sync:start`, `:asyncEnd`,
 * `:error`, …, as of `tracingChannel` of Node): one object per sync, to which Node adds `error`.
 */
export interface SyncTrace {
  readonly agentId: string
  readonly hub: string
  readonly tasks: number
  readonly outcomes: number
  /** From `asyncEnd` on: how long the hub took, ms. */
  roundTripMs?: number
}

const channels: Readonly<Record<keyof AgentDiagnostics, Channel>> = {
  'downlink:agent:connect': channel('downlink:agent:connect'),
  'downlink:agent:connect-failed': channel('downlink:agent:connect-failed'),
  'downlink:agent:stream-open': channel('downlink:agent:stream-open'),
  'downlink:agent:stream-close': channel('downlink:agent:stream-close'),
  'downlink:agent:control': channel('downlink:agent:control'),
  'downlink:agent:decision': channel('downlink:agent:decision'),
  'downlink:agent:standing': channel('downlink:agent:standing'),
}
const syncTracing = tracingChannel<unknown, SyncTrace>('downlink:agent:sync')

/** Publishes what `payload` makes, which is called only if somebody listens. */
export function publish<K extends keyof AgentDiagnostics>(name: K, payload: () => AgentDiagnostics[K]): void {
  const target = channels[name]
  if (target.hasSubscribers) target.publish(payload())
}

/** Tells of a change of the connection. */
export function publishConnection(
  agentId: string,
  hub: () => URL,
  { name, failure, failureCount, retryInMs }: ConnectionStatus,
): void {
  if (failure !== undefined) {
    const { code, message } = failure
    const failed = { agentId, code, message, failureCount, retryInMs }
    publish('downlink:agent:connect-failed', () => ({ ...failed, hub: hub().origin }))
  } else if (name === 'connecting') {
    publish('downlink:agent:connect', () => ({ agentId, hub: hub().origin }))
  }
}

/** Tells of a stream that has opened, and of its end. */
export function publishStream(agentId: string, stream: EventStream): void {
  const url = stream.url.href
  publish('downlink:agent:stream-open', () => ({ agentId, url }))
  void stream.closed.then((end) => {
    const code = 'error' in end ? end.error.code : undefined
    publish('downlink:agent:stream-close', () => ({ agentId, url, reason: end.reason, code }))
  })
}

/** Carries out one sync under the tracing channel, and tells `onRoundTrip` how long the hub took. */
export async function traceSync<T>(
  about: { readonly agentId: string; readonly hub: () => URL; readonly monotonicMs: () => number },
  { tasks, outcomes }: SyncRequest,
  send: () => Promise<T>,
  onRoundTrip: (roundTripMs: number) => void,
): Promise<T> {
  const measured = async (trace?: SyncTrace): Promise<T> => {
    const startMs = about.monotonicMs()
    const reply = await send()
    const roundTripMs = about.monotonicMs() - startMs
    if (trace !== undefined) trace.roundTripMs = roundTripMs
    onRoundTrip(roundTripMs)
    return reply
  }
  if (!syncTracing.hasSubscribers) return measured()
  const trace: SyncTrace = {
    agentId: about.agentId,
    hub: about.hub().origin,
    tasks: tasks.length,
    outcomes: outcomes.length,
  }
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  // Node adds what the promise resolves to, and a reply holds inputs and arguments.
  const traced = async (): Promise<void> => resolve(await measured(trace))
  syncTracing.tracePromise(traced, trace).catch(reject)
  return promise
}
