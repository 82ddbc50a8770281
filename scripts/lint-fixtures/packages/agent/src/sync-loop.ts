/** Bad: rank 1 that imports another of rank 1. */
export type { ControlMessage } from '@downlink/protocol'
export { request } from 'undici'
export type { Hub } from '@downlink/hub' // expect: no-restricted-imports
export type { Client } from '@downlink/client' // expect: no-restricted-imports
export { createFaultyPath } from '@downlink/testkit' // expect: no-restricted-imports
export { createHub } from '../../hub/src/index.ts' // expect: no-restricted-imports
