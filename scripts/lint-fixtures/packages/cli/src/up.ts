/** Bad: the command imports every package, and yet not the testkit, nor by path. */

export type { ControlMessage } from '@downlink/protocol'
export type { Agent } from '@downlink/agent'
export type { Client } from '@downlink/client'
export type { Hub } from '@downlink/hub'
export { createFaultyPath } from '@downlink/testkit' // expect: no-restricted-imports
export { createHub } from '../../hub/src/index.ts' // expect: no-restricted-imports
export { setTimeout as wait } from 'timers/promises' // expect: no-restricted-imports, unicorn/prefer-node-protocol

export const nowMs = Date.now() // expect: no-restricted-properties
