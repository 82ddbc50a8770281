/** For the tests of applications that embed an agent: a hub in memory and a clock in the test's hands. */
export { advanceUntil, passTime } from './advance.ts'
export { createTestClock } from './test-clock.ts'
export type { TestClock } from './test-clock.ts'
export type { TestControl, TestTask } from './test-control.ts'
export { createTestHub } from './test-hub.ts'
export type { ControlUntil, TestControlOptions, TestHub, TestHubOptions } from './test-hub.ts'
