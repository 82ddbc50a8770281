/** All metrics of a hub; docs/metrics.md says what each one means, and a test that both lists are the same. */
import type { Clock } from '@downlink/protocol'
import type { AgentMemories } from '../controls/agent-memory.ts'
import { MEASURED_STAMPS, SETTLED_STATES, type ControlCounts } from '../controls/control-counts.ts'
import { STREAM_ENDS, type DeliveryCounts } from '../delivery/delivery-counts.ts'
import type { SessionRegistry } from '../delivery/session-registry.ts'
import type { WakePolls } from '../delivery/wake-polls.ts'
import type { RequestCounts } from '../http/request-facts.ts'
import { presenceOf, transportOf } from '../operator/agent-record.ts'
import { agentLink } from '../operator/read-agent.ts'
import type { Store } from '../store/store.ts'
import { counter, gauge, histogram, type Metric, type Sample } from './metric-registry.ts'

/** Where the metrics of a hub are read. */
export interface HubMetricsOptions {
  readonly clock: Clock
  readonly store: Store
  readonly memories: AgentMemories
  readonly registry: SessionRegistry
  readonly polls: WakePolls
  readonly waits: { readonly size: number }
  readonly feed: { readonly size: number }
  readonly inFlight: { readonly size: number }
  readonly heartbeatMs: number
  readonly counts: DeliveryCounts
  readonly controlCounts: ControlCounts
  readonly requests: RequestCounts
  readonly isDraining: () => boolean
}

/** The metrics of one hub and its store; nothing is read before it is asked for. */
export function hubMetrics(options: HubMetricsOptions): readonly Metric[] {
  return [
    ...fleetMetrics(options),
    ...deliveryMetrics(options),
    ...controlMetrics(options),
    ...storeMetrics(options.store),
    ...requestMetrics(options),
  ]
}

function fleetMetrics(options: HubMetricsOptions): readonly Metric[] {
  const { registry, polls, waits, feed, isDraining } = options
  return [
    gauge(
      'downlink_agents',
      'Agents that were in touch with this hub since it began, by status and transport.',
      () => agentSamples(options),
    ),
    gauge('downlink_streams_open', 'Streams of agents that are open.', () => registry.size),
    gauge('downlink_polls_held', 'Polls (wake) of agents that are held.', () => polls.size),
    gauge('downlink_waits_held', 'Requests of operators that wait for a control.', () => waits.size),
    gauge('downlink_feed_readers', 'Readers of the operators\u2019 feed.', () => feed.size),
    gauge('downlink_draining', '1 while the hub stops.', () => Number(isDraining())),
  ]
}

function deliveryMetrics({ counts }: HubMetricsOptions): readonly Metric[] {
  return [
    counter('downlink_streams_accepted_total', 'Streams that were opened.', () => counts.streamsAccepted),
    counter('downlink_streams_ended_total', 'Streams that ended, by reason.', () =>
      STREAM_ENDS.map((reason): Sample => [{ reason }, counts.streamsEnded[reason]]),
    ),
    counter(
      'downlink_stream_frames_total',
      'Frames written to streams, heartbeats included.',
      () => counts.frames,
    ),
    counter('downlink_stream_bytes_total', 'Bytes of these frames.', () => counts.frameBytes),
    counter(
      'downlink_stream_overflows_total',
      'Times that a stream\u2019s queue was full and collapsed into one sync.',
      () => counts.overflows,
    ),
    counter(
      'downlink_stream_stalls_total',
      'Times that a stream\u2019s reader did not keep up, so that frames had to wait.',
      () => counts.stalls,
    ),
    counter('downlink_polls_answered_total', 'Polls that were answered, by what they were told.', () => [
      [{ wake: 'true' }, counts.pollsWoken],
      [{ wake: 'false' }, counts.pollsUnwoken],
    ]),
    histogram('downlink_sync_seconds', 'Time from the head of a sync to its answer, if that was a success.', [
      [{}, counts.syncSeconds],
    ]),
  ]
}

function controlMetrics({ controlCounts }: HubMetricsOptions): readonly Metric[] {
  const { settled, seconds } = controlCounts
  return [
    counter('downlink_controls_created_total', 'Controls that were created.', () => controlCounts.created),
    counter('downlink_controls_settled_total', 'Controls that settled, by outcome.', () =>
      SETTLED_STATES.map((outcome): Sample => [{ outcome }, settled[outcome]]),
    ),
    gauge(
      'downlink_controls_open',
      'Controls that are not settled, of all agents.',
      () => controlCounts.open,
    ),
    histogram(
      'downlink_control_seconds',
      'Time from the creation of a control to this stamp of it, known once it has settled.',
      MEASURED_STAMPS.map((stamp) => [{ stamp }, seconds[stamp]] as const),
    ),
  ]
}

function storeMetrics({ counts }: Store): readonly Metric[] {
  return [
    histogram('downlink_commit_seconds', 'Time of a commit, until it is durable.', [[{}, counts.seconds]]),
    histogram('downlink_commit_documents', 'Documents in one commit.', [[{}, counts.entries]]),
    counter('downlink_store_failures_total', 'Commits and readings of documents that failed.', () => [
      [{ operation: 'commit' }, counts.failures.commits],
      [{ operation: 'read' }, counts.failures.reads],
    ]),
  ]
}

function requestMetrics({ requests, inFlight }: HubMetricsOptions): readonly Metric[] {
  return [
    counter(
      'downlink_requests_total',
      'Requests that were answered, by API, route and class of status.',
      () =>
        [...requests.replies.values()].flatMap(({ api, route, classes }) =>
          classes.flatMap((count, index): Sample[] =>
            count === 0 ? [] : [[{ api, route, status: `${index + 1}xx` }, count]],
          ),
        ),
    ),
    gauge('downlink_requests_open', 'Requests and streams that are being answered.', () => inFlight.size),
    counter('downlink_refusals_total', 'Error replies, by their code.', () =>
      [...requests.refusals].map(([code, count]): Sample => [{ code }, count]),
    ),
    counter(
      'downlink_rate_limited_total',
      'Requests that were refused for their rate, by what is limited.',
      () => Object.entries(requests.limited).map(([by, count]): Sample => [{ by }, count]),
    ),
  ]
}

/** Goes through what this hub remembers; no store is asked. */
function agentSamples({ memories, clock, ...sources }: HubMetricsOptions): readonly Sample[] {
  const nowMs = clock.monotonicMs()
  const found = new Map<string, { labels: { status: string; transport: string }; count: number }>()
  for (const [agentId, memory] of memories.all()) {
    if (memory.isRevoked || memory.lastSeenMonotonicMs === undefined) continue
    const link = agentLink(sources, agentId, memory, nowMs)
    const status = presenceOf(memory, link, nowMs)
    const labels = { status, transport: transportOf(link, status) }
    const key = `${labels.status} ${labels.transport}`
    const sample = found.get(key) ?? { labels, count: 0 }
    found.set(key, sample)
    sample.count++
  }
  return [...found.values()].map(({ labels, count }): Sample => [labels, count])
}
