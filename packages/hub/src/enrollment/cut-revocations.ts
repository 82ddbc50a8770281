/** Finishes the revocations that the end of a hub cut in two: after the tombstone, before what was open was settled. */
import type { Mailbox } from '../controls/mailbox.ts'
import type { ControlService } from '../controls/service.ts'
import type { Logger } from '../logger.ts'
import type { Agents } from './agents.ts'

/** What finishing them needs. */
export interface CutRevocationsOptions {
  readonly agents: Pick<Agents, 'read'>
  readonly service: Pick<ControlService, 'closeControls'>
  readonly logger: Logger
}

/** Collects mailboxes as a hub reads them all at its start. */
export interface CutRevocations {
  take(mailbox: Mailbox): void
  /** Settles what is open of those whose agent was revoked, one after the other, then takes nothing more. Never rejects. */
  finish(): Promise<void>
}

/** Collects from now on. */
export function createCutRevocations({ agents, service, logger }: CutRevocationsOptions): CutRevocations {
  let agentIds: string[] | undefined = []
  return {
    take({ agentId, open }) {
      if (open.length > 0) agentIds?.push(agentId)
    },
    async finish() {
      const found = agentIds ?? []
      agentIds = undefined
      for (const agentId of found) {
        try {
          const agent = await agents.read(agentId)
          if (agent?.revoked !== undefined) await service.closeControls(agentId)
        } catch (error) {
          logger.warn(
            { agentId, error },
            'Controls of a revoked agent stay open; revoke it again to settle them',
          )
        }
      }
    },
  }
}
