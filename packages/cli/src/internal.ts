/** For this workspace's own fuzzing; no promise of stability. */
export { CommandError } from './exit-codes.ts'
export { parseTaskKinds } from './task-config.ts'
