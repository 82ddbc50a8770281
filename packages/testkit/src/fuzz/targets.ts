/** Everything that is fuzzed. */
import { agentReplies, agentStream, journal } from './agent-targets.ts'
import type { FuzzTarget } from './fuzz-target.ts'
import { createHubTarget } from './hub-target.ts'
import { httpReplies } from './http-target.ts'
import { messages } from './message-target.ts'
import { clientReplies, taskConfig } from './operator-targets.ts'
import { sseDecoder, sseEncoder } from './sse-targets.ts'

/** One of each. */
export function createTargets(): readonly FuzzTarget[] {
  return [
    sseDecoder,
    sseEncoder,
    messages,
    agentReplies,
    agentStream,
    httpReplies,
    journal,
    createHubTarget(),
    clientReplies,
    taskConfig,
  ]
}
