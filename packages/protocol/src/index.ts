/** The wire contract of Downlink, shared by both ends. */
export { BoundedLogger, silentLogger } from './bounded-logger.ts'
export type { Logger } from './bounded-logger.ts'
export { delay, systemClock, systemRandom } from './clock.ts'
export type { Clock, Random, Timer } from './clock.ts'
export {
  compareRevisions,
  controlToJson,
  isIssued,
  isStateVerb,
  laneOf,
  parseControl,
  parseControls,
  reservedArgument,
  STATE_VERBS,
} from './controls.ts'
export type {
  Control,
  ControlState,
  Delivery,
  IssuedControl,
  LanePolicy,
  Revision,
  StateVerb,
} from './controls.ts'
export { DownlinkError, ERROR_CODES, HttpError, retryOf } from './errors.ts'
export type { ErrorBody, ErrorCode, Retry } from './errors.ts'
export { parseHubUrl } from './hub-url.ts'
export { agentOfControl, controlIdOf, formatToken, isAction, isAgentId, isTaskId, parseToken } from './ids.ts'
export type { TokenKind, TokenParts } from './ids.ts'
export {
  arrayField,
  canonicalJson,
  field,
  integerField,
  isJsonObject,
  parseJson,
  stringField,
} from './json.ts'
export type { Json, JsonObject } from './json.ts'
export * as limits from './limits.ts'
export { OPERATOR_SCOPES, STAMP_NAMES } from './operator.ts'
export type {
  AgentPresence,
  AgentRecord,
  ControlRecord,
  AgentControlRequest,
  AuditEntry,
  BatchControlResult,
  BroadcastRequest,
  EnrollmentKeyRecord,
  NudgeReply,
  NudgeRequest,
  ControlRequest,
  ControlSelector,
  ControlsRequest,
  FeedEvent,
  OperatorScope,
  OperatorTokenRecord,
  OperatorTokenRequest,
  Page,
  PresenceReason,
  PresenceTransition,
  Stamp,
  StampName,
  TaskRecord,
  TaskRequest,
  TaskState,
} from './operator.ts'
export { parsePathReport, pathAdvice } from './path.ts'
export type { PathAdvice, PathReport, PathVerdict } from './path.ts'
export { escapeControlCharacters } from './printable.ts'
export { laterRevision, parseSyncReply, parseSyncRequest, syncRequestToJson } from './reports.ts'
export type {
  Boot,
  DecisionReport,
  HeartbeatEcho,
  NewTask,
  OutcomeReport,
  SyncReply,
  SyncRequest,
} from './reports.ts'
export { createSseDecoder } from './sse/decode.ts'
export type { SseDecoder } from './sse/decode.ts'
export { encodeSseComment, encodeSseEvent, encodeSseRetry } from './sse/encode.ts'
export type { SseEventFrame } from './sse/encode.ts'
export { SseEncodeError, SseLimitError } from './sse/sse-error.ts'
export type { SseLimitCode, SseLimits } from './sse/sse-error.ts'
export type { SseSink } from './sse/sse-sink.ts'
export {
  advertisedHeartbeatMs,
  advertisedWindowMs,
  downlinkEvent,
  encodeCommands,
  encodeDrain,
  encodeHeartbeat,
  encodePreamble,
  encodeSync,
  parseHeartbeat,
} from './stream-events.ts'
export type { DownlinkEvent, Heartbeat } from './stream-events.ts'
export { isTerminalStatus } from './task-report.ts'
export type { TaskLogTail, TaskReport, TaskStatus } from './task-report.ts'
export { takeToken } from './token-bucket.ts'
export type { Rate, TakenToken, TokenBucket } from './token-bucket.ts'
