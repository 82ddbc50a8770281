/** One control, from an operator to an agent and back, whatever is between. */
import { expect } from 'vitest'
import type { NetworkAgent } from './network-agent.ts'
import type { NetworkHub } from './network-hub.ts'

/** A control on its way. */
export interface Marked {
  readonly issuedMs: number
  /** Waits until the hub knows that it was applied, once. @returns when that was, by the agent, ms */
  readonly settled: () => Promise<number>
}

/** Issues a control now. */
export async function mark(
  hub: NetworkHub,
  agent: NetworkAgent,
  agentId: string,
  taskId: string,
): Promise<Marked> {
  const issuedMs = Date.now()
  const controlId = await hub.mark(agentId, taskId)
  return {
    issuedMs,
    settled: async () => {
      const appliedMs = await agent.applies(`mark ${taskId}`)
      await hub.applied(controlId)
      expect(agent.timesApplied(`mark ${taskId}`), 'apply each control once').toBe(1)
      return appliedMs
    },
  }
}

/** Issues one and waits until it has settled. @returns how long the agent took to apply it, ms */
export async function markOnce(...control: Parameters<typeof mark>): Promise<number> {
  const { issuedMs, settled } = await mark(...control)
  return (await settled()) - issuedMs
}
