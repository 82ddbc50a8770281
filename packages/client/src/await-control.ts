/** Issues or reads a control, and asks again until it is where somebody waits for it to be. */
import { delay, isStateVerb, limits, type ControlRecord } from '@downlink/protocol'
import type { WaitOptions } from './client-options.ts'
import { controlReached } from './control-wait.ts'
import type { HubConnection, HubRequest } from './hub-request.ts'
import { readControl } from './replies.ts'
import { askFor } from './typed-request.ts'

/** Where a control is read. */
export function controlPath(controlId: string): string {
  return `/controls/${encodeURIComponent(controlId)}`
}

/**
 * Sends `first`, then asks by the control's id again, as the hub holds one request no longer than `WAIT_MS_MAX`.
 * @param action - the verb, if it is known: only state verbs are ever observed, others are awaited until applied.
 */
export async function awaitControl(
  connection: HubConnection,
  first: HubRequest,
  options: WaitOptions,
  action: string | undefined,
): Promise<ControlRecord> {
  const { until = 'accepted', timeoutMs = limits.CLIENT_WAIT_MS_DEFAULT, signal } = options
  const { clock, random } = connection
  const deadlineMs = clock.monotonicMs() + (until === 'accepted' ? 0 : timeoutMs)
  const waitMs = (): number =>
    Math.ceil(Math.min(limits.WAIT_MS_MAX, Math.max(0, deadlineMs - clock.monotonicMs())))
  let request = first
  let verb = action
  for (;;) {
    const askedAtMs = clock.monotonicMs()
    // Without the verb the first look does not wait: it is there to learn it.
    const isWaiting = until !== 'accepted' && verb !== undefined
    const shownUntil = until === 'observed' && verb !== undefined && !isStateVerb(verb) ? 'applied' : until
    const query = (): Record<string, string> =>
      isWaiting && waitMs() > 0 ? { wait: `${waitMs()}ms`, until: shownUntil } : {}
    const askedMs = isWaiting ? waitMs() : 0
    const record = await askFor(connection, { ...request, query, waitMs: askedMs, signal }, readControl)
    if (controlReached(record, until) !== 'not-yet' || waitMs() === 0) return record
    const restMs = limits.CLIENT_WAIT_AGAIN_MS * (1 + random())
    if (clock.monotonicMs() - askedAtMs < Math.min(askedMs, limits.CLIENT_WAIT_AGAIN_MS)) {
      await delay(clock, Math.min(waitMs(), restMs), signal)
    }
    verb = record.action
    request = { method: 'GET', path: controlPath(record.controlId) }
  }
}
