/** Publishes the steps of a control on a diagnostics channel, where tests that kill the hub listen. */
import { channel } from 'node:diagnostics_channel'

/** `accepted`: valid, before the store; `committed`: durable; `replied`: the operator's reply is finished; `written`: its bytes went to the agent's socket. */
export interface ControlTrace {
  readonly step: 'accepted' | 'committed' | 'replied' | 'written'
  readonly controlId?: string
}

const steps = channel('downlink:hub:control')

/** Whether anybody listens. */
export function isTraced(): boolean {
  return steps.hasSubscribers
}

/** Publishes one step; costs nothing while nobody listens. */
export function traceControl(step: ControlTrace['step'], controlId: string): void {
  if (steps.hasSubscribers) steps.publish({ step, controlId } satisfies ControlTrace)
}
