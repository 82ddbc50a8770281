/** Which start of this process speaks, and how many requests it has begun: with it a hub tells a new stream from a delayed one. */
import type { Boot } from '@downlink/protocol'
import { randomBytes } from 'node:crypto'

/** The identity of one start of an agent. Make one per process, and hand the same to everything that talks to a hub. */
export interface AgentBoot {
  /** Random, so that two processes with one identity are told apart. No secret. */
  readonly nonce: string
  /** The nonce with a counter that grows by every call; within a boot the higher one wins, whatever arrives first. */
  next(): Boot
}

const NONCE_BYTES = 16

/**
 * Makes the identity of this start.
 * @param bytes - returns that many unpredictable bytes; `randomBytes` of `node:crypto` unless a test says otherwise.
 */
export function createBoot(bytes: (size: number) => Uint8Array = randomBytes): AgentBoot {
  const nonce = Buffer.from(bytes(NONCE_BYTES)).toString('hex')
  let connectCounter = 0
  return {
    nonce,
    next() {
      connectCounter += 1
      return { bootNonce: nonce, connectCounter }
    },
  }
}
