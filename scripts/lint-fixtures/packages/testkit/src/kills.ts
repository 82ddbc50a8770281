/** The testkit imports every package, by its name only; it is not production code, so clocks are its own affair. */
export type { Agent } from '@downlink/agent'
export type { Hub } from '@downlink/hub'
export { createHub } from '../../hub/src/index.ts' // expect: no-restricted-imports
export const nowMs = Date.now()
