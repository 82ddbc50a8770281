/** Who asks too often: agents, operators' tokens, and addresses that fail to say who they are. */
import { limits, takeToken, type Clock, type Rate, type TokenBucket } from '@downlink/protocol'
import type { AgentMemory } from '../controls/agent-memory.ts'
import { HubError } from '../hub-error.ts'
import { networkOf, type IsProxy } from './address.ts'
import type { RequestCounts } from './request-facts.ts'

/** The rates of one hub. */
export interface RateLimits {
  /** Counts a request of an agent whose key is right. @throws HubError `too_many_requests`. */
  countAgent(memory: AgentMemory): void
  /** Counts a request of an operator who was let in: under the token, or the application's own name. @throws HubError `too_many_requests`. */
  countOperator(tokenId: string): void
  /**
   * Counts an exchange of an enrollment key, whatever comes of it. Proxies, and this machine, may be the address of all agents.
   * @throws HubError `too_many_requests`.
   */
  countExchange(address: string | undefined): void
  /**
   * What to answer to an error: a refused credential becomes `too_many_requests` once its address has sent too many.
   * Credentials that are right are never refused for their address's sake: a proxy may be the address of all agents.
   */
  countFailure(error: HubError, address: string | undefined): HubError
}

/** What the limits need. */
export interface RateLimitsOptions {
  readonly clock: Clock
  readonly agentRequestsPerS: number
  readonly operatorRequestsPerS: number
  readonly requests: RequestCounts
  readonly isProxy: IsProxy
}

const FAILURES: Rate = { perS: limits.AUTH_FAILURES_PER_S, burst: limits.AUTH_FAILURES_BURST }
const EXCHANGES: Rate = { perS: limits.EXCHANGES_PER_S, burst: limits.EXCHANGES_BURST }
const FAILURE_CODES: ReadonlySet<string> = new Set(['unauthorized', 'invalid'])

/** Makes limits on which nothing was used yet. */
export function createRateLimits(options: RateLimitsOptions): RateLimits {
  const { clock, requests, isProxy } = options
  const agentRate = rateOf(options.agentRequestsPerS)
  const operatorRate = rateOf(options.operatorRequestsPerS)
  const operators = new Map<string, TokenBucket>()
  const addresses = new Map<string, TokenBucket>()
  const exchanges = new Map<string, TokenBucket>()

  return {
    countAgent(memory) {
      const { bucket, waitMs } = takeToken(memory.requests, agentRate, clock.monotonicMs())
      memory.requests = bucket
      if (waitMs === 0) return
      requests.limited.agent++
      throw tooMany(`This agent may send ${agentRate.perS} requests per second`, waitMs)
    },
    countOperator(tokenId) {
      const { bucket, waitMs } = takeToken(operators.get(tokenId), operatorRate, clock.monotonicMs())
      keepNewest(operators, tokenId, bucket, limits.OPERATORS_REMEMBERED_MAX)
      if (waitMs === 0) return
      requests.limited.operator++
      throw tooMany(`This operator may send ${operatorRate.perS} requests per second`, waitMs)
    },
    countExchange(address = '') {
      if (isProxy(address)) return
      const key = networkOf(address)
      const { bucket, waitMs } = takeToken(exchanges.get(key), EXCHANGES, clock.monotonicMs())
      keepNewest(exchanges, key, bucket, limits.AUTH_FAILURE_ADDRESSES_MAX)
      if (waitMs === 0) return
      requests.limited.address++
      throw tooMany(`This address may exchange ${EXCHANGES.perS} enrollment keys per second`, waitMs)
    },
    countFailure(error, address = '') {
      if (!FAILURE_CODES.has(error.code)) return error
      const key = networkOf(address)
      const { bucket, waitMs } = takeToken(addresses.get(key), FAILURES, clock.monotonicMs())
      keepNewest(addresses, key, bucket, limits.AUTH_FAILURE_ADDRESSES_MAX)
      if (waitMs === 0) return error
      requests.limited.address++
      return tooMany('Too many requests without a valid credential came from this address', waitMs)
    },
  }
}

function rateOf(perS: number): Rate {
  return { perS, burst: perS * limits.REQUESTS_BURST_S }
}

function keepNewest(
  buckets: Map<string, TokenBucket>,
  key: string,
  bucket: TokenBucket,
  countMax: number,
): void {
  buckets.delete(key)
  buckets.set(key, bucket)
  const [oldest] = buckets.keys()
  if (buckets.size > countMax && oldest !== undefined) buckets.delete(oldest)
}

function tooMany(what: string, retryAfterMs: number): HubError {
  return new HubError('too_many_requests', `${what}. Send again after the time in Retry-After.`, {
    retryAfterMs,
  })
}
