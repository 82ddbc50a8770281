/** Bad: a machine with a clock, timers, chance and I/O. */

export type { ControlMessage } from '@downlink/protocol'
export type { Ledger } from '@downlink/agent' // expect: no-restricted-imports
export { decide } from '../../agent/src/ledger.ts' // expect: no-restricted-imports
export { readFileSync } from 'node:fs' // expect: no-restricted-imports
export { connect } from 'node:net' // expect: no-restricted-imports
export { createServer } from 'node:http' // expect: no-restricted-imports
export { connect as connectHttp2 } from 'node:http2' // expect: no-restricted-imports
export { get } from 'node:https' // expect: no-restricted-imports
export { DatabaseSync } from 'node:sqlite' // expect: no-restricted-imports
export { Worker } from 'node:worker_threads' // expect: no-restricted-imports
export { spawn } from 'node:child_process' // expect: no-restricted-imports
export { setTimeout as wait } from 'node:timers/promises' // expect: no-restricted-imports
export { randomUUID } from 'node:crypto' // expect: no-restricted-imports
export { randomBytes } from 'crypto' // expect: unicorn/prefer-node-protocol
export { request } from 'undici' // expect: no-restricted-imports

export const nowMs = Date.now() // expect: no-restricted-globals, no-restricted-properties
export const today = new Date() // expect: no-restricted-globals, downlink/no-current-date
export const sinceStartMs = performance.now() // expect: no-restricted-globals
export const chance = Math.random() // expect: no-restricted-properties
export const nanos = process.hrtime() // expect: no-restricted-globals, no-restricted-properties
export const deadline = AbortSignal.timeout(1_000) // expect: no-restricted-properties
export const id = crypto.randomUUID() // expect: no-restricted-globals
export const reply = fetch('http://127.0.0.1/') // expect: no-restricted-globals
export const socket = new WebSocket('ws://127.0.0.1/') // expect: no-restricted-globals

export function schedule(callback: () => void): void {
  setTimeout(callback, 1) // expect: no-restricted-globals
  setInterval(callback, 1) // expect: no-restricted-globals
  setImmediate(callback) // expect: no-restricted-globals
  queueMicrotask(callback) // expect: no-restricted-globals
  globalThis.setTimeout(callback, 1) // expect: no-restricted-globals
  console.log('scheduled') // expect: no-restricted-globals
}
