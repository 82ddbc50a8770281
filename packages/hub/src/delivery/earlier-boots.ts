/** The older copy of an identity: refused, and shown to operators. */
import type { Clock } from '@downlink/protocol'
import type { AgentMemories } from '../controls/agent-memory.ts'
import type { ControlService } from '../controls/service.ts'
import { HubError } from '../hub-error.ts'

/** Where it is known which boots are replaced. */
export interface EarlierBootOptions {
  readonly service: ControlService
  readonly memories: AgentMemories
  readonly clock: Clock
}

/**
 * Lets a request pass unless a newer boot of the agent has synced; then the agent is shown as cloned.
 * @param bootNonce - undefined for an original, which has none.
 * @throws HubError `agent_hash_taken`.
 */
export async function assertNewestBoot(
  { service, memories, clock }: EarlierBootOptions,
  agentId: string,
  bootNonce: string | undefined,
): Promise<void> {
  if (bootNonce === undefined) return
  const { earlierBoots } = await service.mailbox(agentId)
  if (!earlierBoots.includes(bootNonce)) return
  memories.of(agentId).clonedAtMonotonicMs = clock.monotonicMs()
  throw hashTaken(agentId)
}

/** The refusal of a second copy of an identity: the newer start keeps it. */
export function hashTaken(agentId: string): HubError {
  return new HubError(
    'agent_hash_taken',
    `Another, newer process is agent ${agentId}. Stop one of the two, or enroll this one under an id of its own.`,
  )
}
