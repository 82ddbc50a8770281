/** The exception: clock.ts may read the machine's clock and roll its die, and yet imports nothing. */

export { setTimeout as wait } from 'node:timers/promises' // expect: no-restricted-imports
export type { Hub } from '@downlink/hub' // expect: no-restricted-imports

export const wallMs = (): number => Date.now()
export const monotonicMs = (): number => performance.now()
export const today = (): Date => new Date()
export const random = (): number => Math.random()
export const setTimer = (callback: () => void): NodeJS.Timeout => setTimeout(callback, 1)
