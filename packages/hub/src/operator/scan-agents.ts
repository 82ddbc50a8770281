/** Goes through agents in the order of their ids, as far as one request may. */
import { limits } from '@downlink/protocol'
import type { AgentDocument, Agents } from '../enrollment/agents.ts'

/**
 * Shows `visit` one agent after the other, from the one behind `after` on, `LIST_SCAN_MAX` or a page more at most.
 * @param visit - returns false to end before that agent.
 * @returns the cursor to go on from, or undefined if there are no more.
 */
export async function scanAgents(
  agents: Agents,
  after: string | undefined,
  visit: (agent: AgentDocument) => Promise<boolean>,
): Promise<string | undefined> {
  let cursor = after
  for (let scanned = 0; scanned < limits.LIST_SCAN_MAX;) {
    const page = await agents.list({
      limit: limits.PAGE_MAX,
      ...(cursor === undefined ? {} : { after: cursor }),
    })
    for (const agent of page) {
      if (!(await visit(agent))) return cursor
      cursor = agent.agentId
    }
    if (page.length < limits.PAGE_MAX) return undefined
    scanned += page.length
  }
  return cursor
}
