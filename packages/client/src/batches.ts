/** Many controls in one request: distinct ones, or one for all that a selector means. */
import {
  limits,
  type AgentControlRequest,
  type BatchControlResult,
  type BroadcastRequest,
  type Json,
} from '@downlink/protocol'
import type { BatchOptions } from './client-options.ts'
import type { HubConnection } from './hub-request.ts'
import { readBatchResult, readPage } from './replies.ts'
import { askFor, freshKey, listPages } from './typed-request.ts'

/** What stands around the items of a body. */
const BODY_FRAME_BYTES = 64
const encoder = new TextEncoder()

/** One control for every agent that is meant. */
export type Broadcast = Omit<BroadcastRequest, 'cursor'>

/** Sends `items`, as many at a time as one request may hold, one request after the other. */
export async function sendItems(
  connection: HubConnection,
  items: readonly AgentControlRequest[],
  options: BatchOptions,
): Promise<readonly BatchControlResult[]> {
  const { idempotencyKey = freshKey(), signal } = options
  const results: BatchControlResult[] = []
  for (const [index, part] of parts(items).entries()) {
    const body = { items: part } as unknown as Json
    const request = { method: 'POST', path: '/controls', body, signal } as const
    const page = await askFor(
      connection,
      { ...request, idempotencyKey: `${idempotencyKey}.${index}` },
      (json) => readPage(json, readBatchResult),
    )
    results.push(...page.items)
  }
  return results
}

/** Sends `broadcast` page by page. */
export function sendBroadcast(
  connection: HubConnection,
  broadcast: Broadcast,
  options: BatchOptions,
): AsyncGenerator<BatchControlResult> {
  const { idempotencyKey = freshKey(), signal } = options
  return listPages(
    connection,
    (cursor) => ({
      method: 'POST',
      path: '/controls',
      body: { ...broadcast, ...(cursor === undefined ? {} : { cursor }) } as unknown as Json,
      idempotencyKey,
      signal,
    }),
    readBatchResult,
  )
}

/** Runs of items that fit in one request, by count and by bytes. */
function parts(items: readonly AgentControlRequest[]): readonly (readonly AgentControlRequest[])[] {
  const found: AgentControlRequest[][] = []
  let bytes = Infinity
  for (const item of items) {
    const itemBytes = encoder.encode(JSON.stringify(item)).length + 1
    const last = found.at(-1)
    if (
      last === undefined ||
      last.length === limits.BATCH_CONTROLS_MAX ||
      bytes + itemBytes > limits.OPERATOR_BODY_BYTES_MAX - BODY_FRAME_BYTES
    ) {
      found.push([item])
      bytes = itemBytes
    } else {
      last.push(item)
      bytes += itemBytes
    }
  }
  return found
}
