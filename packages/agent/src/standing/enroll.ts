/** Enrollment: an enrollment key for a credential, once, also when the reply is lost. */
import {
  delay,
  DownlinkError,
  HttpError,
  limits,
  systemClock,
  systemRandom,
  type Clock,
  type Random,
} from '@downlink/protocol'
import { randomUUID } from 'node:crypto'
import { hostname, platform } from 'node:os'
import { createAgentClient, type AgentClient } from '../client.ts'
import { BACKOFF_LIMITS, reconnectDelayMs } from '../downlink/backoff.ts'
import type { AgentTls } from '../http/connector.ts'
import type { Credential } from './credential.ts'

/** What enrolling takes. */
export interface EnrollOptions {
  /** The hub, or it and its mirrors as of `createAgent`; each may be sent the enrollment key. */
  readonly hub: string | URL | readonly (string | URL)[]
  /** An enrollment key that an operator made. */
  readonly enrollmentKey: string
  readonly agentId: string
  readonly credential: Credential
  /**
   * The same id repeats an exchange whose reply was lost, within 10 minutes.
   * @defaultValue that of an exchange which the credential remembers as begun, or a new one
   */
  readonly exchangeId?: string
  /** @defaultValue false */
  readonly allowPlainHttp?: boolean
  /** As of `createAgent`. */
  readonly proxy?: false | string | URL
  readonly tls?: AgentTls
  /** @defaultValue the clock of this machine */
  readonly clock?: Clock
  /** @defaultValue the random source of this machine */
  readonly random?: Random
  readonly signal?: AbortSignal
}

/** Answers after which the same exchange may succeed. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])
/** Nobody was reached, so nothing was lost: who calls knows better whether to wait. */
const UNREACHED_CODES: ReadonlySet<string> = new Set([
  'dns_failed',
  'connect_timeout',
  'connect_failed',
  'proxy_failed',
  'tls_failed',
])

/**
 * Exchanges the key and resolves once the credential is kept. An exchange whose reply was lost is repeated for
 * `ENROLL_PATIENCE_MS`, and one that a crash interrupted by the next call, if the credential can remember it.
 * @throws HttpError `invalid`, `expired`, `used`, `revoked`, `agent_exists` or `agent_mismatch`, each with its remedy;
 * DownlinkError if the hub is not reached; the signal's reason when it aborts.
 */
export async function enroll(options: EnrollOptions): Promise<void> {
  const { credential, clock = systemClock, hub } = options
  const client = createAgentClient({
    hubs: typeof hub === 'string' || hub instanceof URL ? [hub] : hub,
    credential: () => undefined,
    clock,
    allowPlainHttp: options.allowPlainHttp ?? false,
    ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
  })
  try {
    const { pendingExchange } = credential
    const exchangeId = options.exchangeId ?? (await pendingExchange?.read()) ?? randomUUID()
    await pendingExchange?.write(exchangeId)
    try {
      await credential.write(await exchange(client, options, exchangeId, clock))
    } catch (error) {
      // What the hub refused for good is no exchange under way.
      if (error instanceof HttpError && error.retry === 'never') await pendingExchange?.clear()
      throw error
    }
    await pendingExchange?.clear()
  } finally {
    await client.close()
  }
}

/** The agent's key, asked for again while the reply may only have been lost. */
async function exchange(
  client: AgentClient,
  options: EnrollOptions,
  exchangeId: string,
  clock: Clock,
): Promise<string> {
  const { enrollmentKey: authKey, agentId, random = systemRandom, signal } = options
  const request = { authKey, agentId, hostname: hostname(), platform: platform(), exchangeId }
  const untilMs = clock.monotonicMs() + limits.ENROLL_PATIENCE_MS
  let mayBeLost = false
  for (let failureCount = 0; ; failureCount += 1) {
    try {
      return (await client.exchangeKey(request, signal === undefined ? {} : { signal })).apiKey
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof DownlinkError) || error.retry === 'never') throw error
      mayBeLost ||= mayPass(error)
      const floorMs = error instanceof HttpError ? (error.retryAfterMs ?? 0) : 0
      const waitMs = reconnectDelayMs(failureCount, BACKOFF_LIMITS, floorMs, random())
      if (!mayBeLost || clock.monotonicMs() + waitMs >= untilMs) throw error
      await delay(clock, waitMs, signal)
    }
  }
}

function mayPass(error: DownlinkError): boolean {
  return error instanceof HttpError ? PASSING_STATUSES.has(error.status) : !UNREACHED_CODES.has(error.code)
}
