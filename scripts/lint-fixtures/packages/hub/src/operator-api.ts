/** Bad: a loop of the hub that does not use what is handed in, and reaches across ranks. */

export type { ControlMessage } from '@downlink/protocol'
export { createServer } from 'node:http'
export { openEventStream } from '@downlink/agent' // expect: no-restricted-imports
export type { Client } from '@downlink/client' // expect: no-restricted-imports
export { run } from 'downlink' // expect: no-restricted-imports
export { createFaultyPath } from '@downlink/testkit' // expect: no-restricted-imports
export { decide } from '../../agent/src/ledger.ts' // expect: no-restricted-imports
export { decide as decideLater } from '../../../agent/dist/ledger.js' // expect: no-restricted-imports
export { setTimeout as wait } from 'node:timers/promises' // expect: no-restricted-imports
export const agent = await import('@downlink/agent') // expect: no-restricted-imports, typescript/no-unsafe-assignment

export const nowMs = Date.now() // expect: no-restricted-properties
export const today = new Date() // expect: downlink/no-current-date
export const todayText = Date() // expect: downlink/no-current-date
export const stamp = new Date(0).toISOString()
export const sinceStartMs = performance.now() // expect: no-restricted-globals
export const nanos = process.hrtime.bigint() // expect: no-restricted-properties
export const chance = Math.random() // expect: no-restricted-properties
export const deadline = AbortSignal.timeout(1_000) // expect: no-restricted-properties

export function schedule(callback: () => void): void {
  setTimeout(callback, 1) // expect: no-restricted-globals
  setInterval(callback, 1) // expect: no-restricted-globals
  globalThis.setTimeout(callback, 1) // expect: no-restricted-globals
  global.setInterval(callback, 1) // expect: no-restricted-globals
  setImmediate(callback)
}
