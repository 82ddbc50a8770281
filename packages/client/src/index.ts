/** The operator client of Downlink: fetch only, for Node and browsers. */
export { DownlinkError, HttpError } from '@downlink/protocol'
export type {
  AgentControlRequest,
  AgentRecord,
  AuditEntry,
  BatchControlResult,
  ControlRecord,
  EnrollmentKeyRecord,
  ControlState,
  FeedEvent,
  Json,
  OperatorScope,
  OperatorTokenRecord,
  Page,
  Stamp,
  TaskRecord,
  TaskState,
} from '@downlink/protocol'
export type {
  AgentFilter,
  AuditFilter,
  BatchOptions,
  ControlOptions,
  EnrollmentKeyOptions,
  FeedOptions,
  NudgeFilter,
  OperatorClientOptions,
  OperatorTokenOptions,
  StartOptions,
  WaitOptions,
} from './client-options.ts'
export type { Broadcast } from './batches.ts'
export { controlReached } from './control-wait.ts'
export type { ControlReached, ControlUntil } from './control-wait.ts'
export { errorDetails } from './reply-error.ts'
export { createOperatorClient } from './hub-operator-client.ts'
export type { OperatorClient, TaskHandle } from './operator-client.ts'
export type { CreatedOperatorToken, EnrollmentKey, TaskLog } from './replies.ts'
export type {
  Given,
  TaskInput,
  TaskKinds,
  TaskRecordOf,
  TaskResult,
  TaskVerb,
  VerbArgs,
} from './task-types.ts'
