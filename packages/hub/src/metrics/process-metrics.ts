/** What the process of a hub uses: memory, processor, and how late its event loop is. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { gauge, counter, type Metric } from './metric-registry.ts'

/** How often the event loop is looked at, ms: finer costs more than it tells. */
const LOOP_LOOK_MS = 20

/** The metrics of this process; disposed of, its event loop is looked at no more. */
export interface ProcessMetrics extends Disposable {
  readonly metrics: readonly Metric[]
}

/** Starts to look at the event loop. */
export function startProcessMetrics(): ProcessMetrics {
  const loop = monitorEventLoopDelay({ resolution: LOOP_LOOK_MS })
  loop.enable()
  const lagSeconds = (delayNs: number): number =>
    // What was measured includes the wait that was asked for; before the first look there is nothing.
    Number.isFinite(delayNs) ? Math.max(0, delayNs / 1e9 - LOOP_LOOK_MS / 1e3) : 0
  return {
    metrics: [
      gauge(
        'downlink_event_loop_lag_seconds',
        'How late the event loop was since these were last read: median, 99th percentile and most.',
        () => {
          const most = lagSeconds(loop.max)
          const samples = [
            [{ quantile: '0.5' }, Math.min(most, lagSeconds(loop.percentile(50)))],
            [{ quantile: '0.99' }, Math.min(most, lagSeconds(loop.percentile(99)))],
            [{ quantile: '1' }, most],
          ] as const
          loop.reset()
          return samples
        },
      ),
      counter('downlink_process_cpu_seconds_total', 'Time of processors that this process has used.', () => {
        const { user, system } = process.cpuUsage()
        return (user + system) / 1e6
      }),
      gauge('downlink_process_memory_bytes', 'Memory of this process, by kind.', () => {
        const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage()
        return [
          [{ kind: 'resident' }, rss],
          [{ kind: 'heap' }, heapUsed],
          [{ kind: 'external' }, external],
          [{ kind: 'buffers' }, arrayBuffers],
        ]
      }),
      gauge('downlink_process_uptime_seconds', 'Time since this process began.', () => process.uptime()),
    ],
    [Symbol.dispose]: () => void loop.disable(),
  }
}
