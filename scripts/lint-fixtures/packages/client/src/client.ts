/** Bad: a client that no browser could load. */

export type { ControlMessage } from '@downlink/protocol'
export type { Hub } from '@downlink/hub' // expect: no-restricted-imports
export { createHub } from '../../hub/src/index.ts' // expect: no-restricted-imports
export { EventEmitter } from 'node:events' // expect: no-restricted-imports
export { setTimeout as wait } from 'node:timers/promises' // expect: no-restricted-imports

export const reply = fetch('http://127.0.0.1/')
export const bytes = Buffer.from('downlink') // expect: no-restricted-globals
export const environment = process.env // expect: no-restricted-globals
export const sinceStartMs = performance.now() // expect: no-restricted-globals
export const chance = Math.random() // expect: no-restricted-properties

export function schedule(callback: () => void): void {
  setTimeout(callback, 1) // expect: no-restricted-globals
  globalThis.setInterval(callback, 1) // expect: no-restricted-globals
}
