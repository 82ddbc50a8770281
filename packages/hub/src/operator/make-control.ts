/** Makes a control of an agent that may be revoked at that very moment. */
import type { ControlRecord, ControlRequest } from '@downlink/protocol'
import type { Asker } from '../controls/control-request.ts'
import type { Made } from '../controls/service.ts'
import type { OperatorRoutes } from './operator-routes.ts'

/**
 * Makes the control. A revocation has two commits, the tombstone and the closing of what is open: what was made between
 * them is closed here, so that no control waits for an agent that never comes.
 * @throws HubError for a request that is invalid or refused.
 */
export async function makeControl(
  { findAgent, service }: Pick<OperatorRoutes, 'findAgent' | 'service'>,
  agentId: string,
  request: ControlRequest,
  asker: Asker,
): Promise<Made<ControlRecord>> {
  const made = await service.createControl(agentId, request, asker)
  if ((await findAgent(agentId)).revoked === undefined) return made
  await service.closeControls(agentId)
  return { ...made, record: (await service.control(made.record.controlId)) ?? made.record }
}
