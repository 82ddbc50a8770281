/** Whether what is written on a stream arrives: only the echo of a heartbeat says so. Pure. */
import { limits, type HeartbeatEcho } from '@downlink/protocol'
import type { Session } from './session.ts'

/** The last echo, as a sync brought it. */
export interface StreamProof {
  /** From the writing of the heartbeat to its echo, without the time that the agent had it, ms. */
  readonly roundTripMs: number
  /** How long the agent had it: that long nothing newer had arrived, ms. */
  readonly agoMs: number
  /** How late it came to the agent, as far as that knows, ms. */
  readonly lagMs?: number
}

/** What is known of an agent's stream. */
export interface StreamEvidence {
  /** Whether the agent echoes heartbeats: an original does not. */
  readonly echoes: boolean
  readonly openForMs: number
  /** Of the last sync; undefined if it had no echo of this hub's heartbeats. */
  readonly proof: StreamProof | undefined
  readonly heartbeatMs: number
}

/** The proof that an echo is, or undefined if its heartbeat was not this hub's. */
export function proofOf(
  { agoMs, lagMs }: HeartbeatEcho,
  roundTripMs: number | undefined,
): StreamProof | undefined {
  if (roundTripMs === undefined) return undefined
  return { roundTripMs, agoMs, ...(lagMs === undefined ? {} : { lagMs }) }
}

/** What is known of `session` now. @param proof - of its agent's last sync. */
export function evidenceOf(
  session: Session,
  proof: StreamProof | undefined,
  heartbeatMs: number,
  nowMs: number,
): StreamEvidence {
  return { echoes: session.boot !== undefined, openForMs: nowMs - session.openedMs, proof, heartbeatMs }
}

/** Whether the stream works as far as is known; one that has just opened, and an original's, has the benefit of the doubt. */
export function isStreamWorking({ echoes, openForMs, proof, heartbeatMs }: StreamEvidence): boolean {
  const deadlineMs = Math.max(limits.LIVENESS_MS_MIN, limits.LIVENESS_HEARTBEATS * heartbeatMs)
  // The first sync that can bring an echo comes after the first heartbeat, and a pace later.
  if (!echoes || openForMs < deadlineMs + limits.SYNC_ACTIVE_MS) return true
  return proof !== undefined && proof.roundTripMs <= deadlineMs && proof.agoMs <= deadlineMs
}
