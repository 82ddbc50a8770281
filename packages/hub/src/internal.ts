/** For this workspace's own simulation, contract tests and bench; no promise of stability. */
export type { Decision, DecisionTime, WriteLog, WriteRecord } from './controls/draft.ts'
export { decideSync } from './controls/lifecycle-sync.ts'
export type { SyncAnswer, SyncDecision, SyncTime } from './controls/lifecycle-sync.ts'
export {
  controlsToHandOut,
  controlsToPush,
  createControl,
  createTask,
  expireControls,
  hasExpired,
} from './controls/lifecycle.ts'
export type { CreateResult, CreateTaskResult, NewControl, NewTaskRequest } from './controls/lifecycle.ts'
export { controlRecord, emptyMailbox, findControl } from './controls/mailbox.ts'
export type { ControlEntry, Mailbox, TaskEntry } from './controls/mailbox.ts'
export { createAgents } from './enrollment/agents.ts'
export type { Agents, NewCredential } from './enrollment/agents.ts'
export { describeOperatorApi } from './operator/describe-operator-api.ts'
export type { OperatorApiDescription } from './operator/describe-operator-api.ts'
