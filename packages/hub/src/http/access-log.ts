/** A line of the log for each request that was answered: nothing that its sender chose but its own name is in it. */
import type { IncomingMessage } from 'node:http'
import type { Clock } from '@downlink/protocol'
import type { HubLogger } from '../logger.ts'
import type { RequestFacts } from './request-facts.ts'

/** What to do when `request` has been answered. */
export function accessLog(
  { logger, clock }: { readonly logger: HubLogger; readonly clock: Clock },
  request: IncomingMessage,
): (facts: RequestFacts, status: number) => void {
  const beganMs = clock.monotonicMs()
  const { method } = request
  // Read while it is there: a request that was cut has no socket any more.
  const address = request.socket.remoteAddress
  return ({ api, route, by, code }, status) => {
    const tookMs = Math.round(clock.monotonicMs() - beganMs)
    logger.access({ api, method, route, status, code, by, address, tookMs })
  }
}
