/** GET events: the agent's stream, from the preamble to its end. */
import type { ServerResponse } from 'node:http'
import { encodePreamble, limits, type Boot, type Clock } from '@downlink/protocol'
import type { AgentMemories } from '../controls/agent-memory.ts'
import type { MailboxChanges } from '../controls/mailbox-changes.ts'
import type { ControlService } from '../controls/service.ts'
import { standingRefusal, type Agents } from '../enrollment/agents.ts'
import { HubError } from '../hub-error.ts'
import type { AgentCall, AgentRoute } from '../http/agent-api.ts'
import { bootOf, headerText } from '../http/boot-headers.ts'
import { takeConnection } from '../http/hand-over.ts'
import type { InFlight } from '../http/in-flight.ts'
import { streamEndOf } from '../http/request-facts.ts'
import type { Store } from '../store/store.ts'
import type { DeliveryCounts } from './delivery-counts.ts'
import { assertNewestBoot } from './earlier-boots.ts'
import { createPusher, type PushHub } from './push.ts'
import { admitDisplacement, type SessionRegistry } from './session-registry.ts'
import { createSession, type Session, type SessionConnection, type SessionOptions } from './session.ts'
import { StreamSocket } from './stream-socket.ts'

/** What the route needs of the hub. */
export interface EventsRouteOptions {
  readonly store: Store
  readonly clock: Clock
  readonly heartbeatMs: number
  readonly agents: Agents
  readonly service: ControlService
  readonly memories: AgentMemories
  readonly changes: MailboxChanges
  readonly registry: SessionRegistry
  readonly counts: DeliveryCounts
  readonly inFlight: InFlight
  /** While the hub stops: how long until another try may succeed, ms. */
  readonly drainingMs: () => number | undefined
  readonly windowMs: () => number
}

const HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-transform',
  // nginx would otherwise hold the stream back until its buffer is full.
  'X-Accel-Buffering': 'no',
}

/** The route, and the push of every committed change to the stream of its agent. */
export function createEventsRoute(options: EventsRouteOptions): AgentRoute & Disposable {
  const { store, service, changes, registry, agents, clock } = options
  const pushHub: PushHub = {
    serviceMs: () => store.serviceMs(),
    decided: (agentId) => options.memories.peek(agentId)?.decided,
    onSending: (agentId, controlIds) => service.recordSending(agentId, controlIds),
    onWritten: (agentId, controlIds) => service.recordWritten(agentId, controlIds),
  }
  const detach = (session: Session): void => registry.detach(session)
  const forget = (stream: StreamSocket): void => options.inFlight.forget(stream)
  const listener = changes.listen((change) => registry.get(change.agentId)?.pusher?.deliver(change))

  async function handle({ agent, keyId, request, response }: AgentCall): Promise<void> {
    const { agentId } = agent
    assertServing()
    const boot = bootOf(request)
    await assertNewestBoot(options, agentId, boot?.bootNonce)
    if (response.destroyed) return
    // It may have begun to stop meanwhile, and ends no stream that opens from then on.
    assertServing()
    if (boot === undefined && registry.get(agentId) !== undefined) {
      admitDisplacement(options.memories.of(agentId), agentId, clock)
    }

    const session = openSession(agentId, boot, response)
    if (!registry.attach(session)) return
    const pusher = createPusher(pushHub, session, headerText(request, 'downlink-journal'))
    session.pusher = pusher
    // Read only now that changes reach the session: whatever is committed from here on is pushed by itself.
    try {
      const [mailbox, stored] = await Promise.all([service.mailbox(agentId), agents.read(agentId)])
      // Its agent may have been revoked, or its key replaced, between the check of the key and the attaching.
      const refusal = standingRefusal(stored, keyId)
      if (refusal !== undefined) session.end(refusal.code === 'agent_revoked' ? 'revoked' : 'key_replaced')
      pusher.deliver({ mailbox })
    } catch (error) {
      session.end('failed')
      throw error
    }
  }

  function assertServing(): void {
    const retryAfterMs = options.drainingMs()
    if (retryAfterMs === undefined) return
    throw new HubError('draining', 'This hub is stopping. Connect again shortly.', { retryAfterMs })
  }

  function openSession(agentId: string, boot: Boot | undefined, response: ServerResponse): Session {
    const of = {
      agentId,
      ...(boot === undefined ? {} : { boot }),
      clock,
      counts: options.counts,
      onEnd: detach,
    }
    const preamble = encodePreamble(options.heartbeatMs, limits.PREAMBLE_RETRY_MS, options.windowMs())
    const socket = takeConnection(response, HEADERS)
    if (socket === undefined) return openOnResponse(of, preamble, response)
    const stream = new StreamSocket(socket, clock)
    const session = createSession({ ...of, connection: stream })
    options.inFlight.followInstead(response, stream)
    const onEnd = streamEndOf(response)
    // Nobody asks for it as a rule: a function for each stream would cost its memory.
    const told = (ended: StreamSocket): void => {
      forget(ended)
      onEnd?.()
    }
    stream.serve(session, onEnd === undefined ? forget : told)
    session.send({ bytes: preamble })
    // The head and the preamble go together.
    socket.uncork()
    return session
  }

  return { method: 'GET', path: 'events', handle, [Symbol.dispose]: () => listener[Symbol.dispose]() }
}

/** On a server that is not the hub's own, whose replies others may have wrapped. */
function openOnResponse(
  options: Omit<SessionOptions, 'connection'>,
  preamble: Uint8Array,
  response: ServerResponse,
): Session {
  response.writeHead(200, HEADERS)
  response.socket?.setNoDelay(true)
  response.socket?.setTimeout(0)
  const session = createSession({ ...options, connection: connectionOf(response) })
  response.on('drain', () => session.drained())
  response.on('close', () => session.end())
  response.on('error', () => session.end())
  session.send({ bytes: preamble })
  return session
}

function connectionOf(response: ServerResponse): SessionConnection {
  return {
    write: (bytes) => response.write(bytes),
    end: () => {
      // Waiting for a reader that stands still would keep its bytes for good.
      if (response.writableNeedDrain) response.destroy()
      else response.end()
    },
  }
}
