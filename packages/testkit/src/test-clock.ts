/** The clock that adopters' tests use, for this workspace's own. */
export { createTestClock } from '@downlink/agent/testing'
export type { TestClock } from '@downlink/agent/testing'
