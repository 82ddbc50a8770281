/** Bad: rank 0 that imports, reads clocks and does I/O. */

export { openEventStream } from '@downlink/agent' // expect: no-restricted-imports
export { run } from 'downlink' // expect: no-restricted-imports
export type { Hub } from '../../hub/src/index.ts' // expect: no-restricted-imports
export { readFileSync } from 'node:fs' // expect: no-restricted-imports
export { setTimeout as wait } from 'node:timers/promises' // expect: no-restricted-imports
export { request } from 'undici' // expect: no-restricted-imports

export const nowMs = Date.now() // expect: no-restricted-globals, no-restricted-properties
export const today = new Date() // expect: no-restricted-globals, downlink/no-current-date
export const sinceStartMs = performance.now() // expect: no-restricted-globals
export const chance = Math.random() // expect: no-restricted-properties
export const nanos = process.hrtime() // expect: no-restricted-globals, no-restricted-properties
export const id = crypto.randomUUID() // expect: no-restricted-globals
export const reply = fetch('http://127.0.0.1/') // expect: no-restricted-globals
export const socket = new WebSocket('ws://127.0.0.1/') // expect: no-restricted-globals
export const bytes = Buffer.from('downlink') // expect: no-restricted-globals

export function schedule(callback: () => void): void {
  setTimeout(callback, 1) // expect: no-restricted-globals
  setInterval(callback, 1) // expect: no-restricted-globals
  setImmediate(callback) // expect: no-restricted-globals
  queueMicrotask(callback) // expect: no-restricted-globals
  globalThis.setTimeout(callback, 1) // expect: no-restricted-globals
  console.log('scheduled') // expect: no-restricted-globals
}
export const deadline = AbortSignal.timeout(1_000) // expect: no-restricted-properties
