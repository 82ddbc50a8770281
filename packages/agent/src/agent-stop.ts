/** How a run ends: each step within its bound, whatever the one before came to. */
import { limits } from '@downlink/protocol'
import type { AgentBase, AgentParts } from './agent-parts.ts'
import { waitAtMost } from './wait-at-most.ts'

/** What stopping needs of what was there before the run. */
export type StoppedBase = Pick<AgentBase, 'options' | 'clock' | 'events' | 'runtime' | 'patientJournal'>

/**
 * Ends controls and tasks, reports once more and closes everything but the lock. After a revocation nothing is sent, and
 * the credential is put aside.
 * @param hasStarted - tasks were restored: a sync of an agent that did not do that would tell the hub that they are gone.
 */
export async function stopParts(parts: AgentParts, base: StoppedBase, hasStarted: boolean): Promise<void> {
  const { client, controls, exchange, journal, sync, keys, standing } = parts
  const { clock, events, runtime, patientJournal } = base
  const isRevoked = standing.revoked.aborted
  standing.stop()
  await keys.stop()
  if (isRevoked) await putCredentialAside(base)
  controls.stop()
  exchange.stop()
  const isIdle = await waitAtMost(clock, limits.STOP_CONTROLS_MS_MAX, controls.idle())
  if (!isIdle) {
    events.log(
      'warn',
      {},
      `a control is still being applied ${limits.STOP_CONTROLS_MS_MAX} ms after the stop; it settles as interrupted, unless it is applied again`,
    )
  }
  await runtime.stop()
  if (hasStarted && !isRevoked) await sync.last()
  patientJournal.stop()
  await client.close()
  await journal[Symbol.asyncDispose]()
}

async function putCredentialAside({ options, events }: StoppedBase): Promise<void> {
  try {
    await options.credential.wipe()
    events.log('error', {}, 'the agent was revoked; it stops, and its credential is put aside')
  } catch (error) {
    events.log('error', { error }, 'the agent was revoked, but its credential cannot be put aside')
  }
}
