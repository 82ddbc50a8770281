/** GET wake: the long-poll that nudges an agent without a stream. */
import type { Clock } from '@downlink/protocol'
import type { AgentMemories } from '../controls/agent-memory.ts'
import type { ControlService } from '../controls/service.ts'
import { standingRefusal, type Agents } from '../enrollment/agents.ts'
import { HubError } from '../hub-error.ts'
import type { AgentCall, AgentRoute } from '../http/agent-api.ts'
import { bootOf } from '../http/boot-headers.ts'
import { replyError, replyJson } from '../http/json-reply.ts'
import { assertNewestBoot } from './earlier-boots.ts'
import { admitDisplacement } from './session-registry.ts'
import type { WakePolls } from './wake-polls.ts'

/** What the route needs of the hub. */
export interface WakeRouteOptions {
  readonly clock: Clock
  readonly agents: Agents
  readonly service: ControlService
  readonly memories: AgentMemories
  readonly polls: WakePolls
  /** While the hub stops: how long until another try may succeed, ms. */
  readonly drainingMs: () => number | undefined
}

/** The route. */
export function createWakeRoute(options: WakeRouteOptions): AgentRoute {
  const { clock, agents, service, memories, polls, drainingMs } = options

  async function handle({ agent, keyId, request, response }: AgentCall): Promise<void> {
    const { agentId } = agent
    assertServing()
    const boot = bootOf(request)
    await assertNewestBoot(options, agentId, boot?.bootNonce)
    if (response.destroyed) return
    // It may have begun to stop meanwhile, and answers no poll that is held from then on.
    assertServing()
    if (boot === undefined && polls.isHeld(agentId)) admitDisplacement(memories.of(agentId), agentId, clock)

    const poll = polls.hold(agentId, boot)
    response.once('close', () => poll.end({ kind: 'gone' }))
    try {
      // Read only now that changes reach the poll: whatever is committed from here on is seen by itself.
      const [mailbox, stored] = await Promise.all([service.mailbox(agentId), agents.read(agentId)])
      const refusal = standingRefusal(stored, keyId)
      if (refusal !== undefined) poll.end({ kind: 'refused', error: refusal })
      poll.take(mailbox.version)
    } catch (error) {
      poll.end({ kind: 'gone' })
      throw error
    }
    const end = await poll.ended
    if (end.kind === 'gone') return
    if (drainingMs() !== undefined) response.setHeader('Connection', 'close')
    if (end.kind === 'refused') replyError(response, end.error)
    else await replyJson(response, 200, { wake: end.wake })
  }
  function assertServing(): void {
    const retryAfterMs = drainingMs()
    if (retryAfterMs === undefined) return
    throw new HubError('draining', 'This hub is stopping. Ask again shortly.', { retryAfterMs })
  }
  return { method: 'GET', path: 'wake', handle }
}
