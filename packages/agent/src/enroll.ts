/** Enrollment: an enrollment key for a credential, once. */
import { systemClock, type Clock } from '@downlink/protocol'
import { randomBytes, randomUUID } from 'node:crypto'
import { hostname, platform } from 'node:os'
import { createBoot } from './boot.ts'
import { createAgentClient } from './client.ts'
import type { AgentTls } from './connection/connector.ts'
import type { Credential } from './credential.ts'

/** What enrolling takes. */
export interface EnrollOptions {
  readonly hub: string | URL
  /** An enrollment key that an operator made. */
  readonly enrollmentKey: string
  readonly agentId: string
  readonly credential: Credential
  /** Repeats an exchange whose reply was lost, within 10 minutes. @defaultValue a new one */
  readonly exchangeId?: string
  /** @defaultValue false */
  readonly allowPlainHttp?: boolean
  /** As of `createAgent`. */
  readonly proxy?: false | string | URL
  readonly tls?: AgentTls
  /** @defaultValue the clock of this machine */
  readonly clock?: Clock
  readonly signal?: AbortSignal
}

/**
 * Exchanges the key and resolves once the credential is kept.
 * @throws HttpError `invalid`, `expired`, `used`, `revoked` or `agent_exists`; DownlinkError if the hub is not reached.
 */
export async function enroll(options: EnrollOptions): Promise<void> {
  const client = createAgentClient({
    hubs: [options.hub],
    credential: () => undefined,
    boot: createBoot(randomBytes),
    clock: options.clock ?? systemClock,
    allowPlainHttp: options.allowPlainHttp ?? false,
    ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
    ...(options.tls === undefined ? {} : { tls: options.tls }),
  })
  try {
    const { apiKey } = await client.exchangeKey(
      {
        authKey: options.enrollmentKey,
        agentId: options.agentId,
        hostname: hostname(),
        platform: platform(),
        exchangeId: options.exchangeId ?? randomUUID(),
      },
      options.signal === undefined ? {} : { signal: options.signal },
    )
    await options.credential.write(apiKey)
  } finally {
    await client.close()
  }
}
