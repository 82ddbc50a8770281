/** Embed the Downlink control channel in your daemon. */
export { DownlinkError, HttpError } from '@downlink/protocol'
export type {
  Clock,
  Control,
  ControlState,
  DownlinkEvent,
  Json,
  Random,
  StateVerb,
  SyncReply,
  SyncRequest,
} from '@downlink/protocol'
export { createAgent } from './create-agent.ts'
export type { Agent, AgentEnd } from './agent.ts'
export type {
  KeyExchangeReply,
  KeyExchangeRequest,
  RegisterReply,
  RegisterRequest,
  RequestOptions,
} from './agent-calls.ts'
export { createBoot } from './boot.ts'
export type { AgentBoot } from './boot.ts'
export { createAgentClient } from './client.ts'
export type { AgentClient, AgentClientOptions } from './client.ts'
export type { AgentDiagnostics, ControlStep, SyncTrace } from './diagnostics.ts'
export type { DownlinkMode } from './downlink/connection-state.ts'
export type { AgentTls } from './http/connector.ts'
export type { AgentTransport, TransportReply, TransportRequest } from './http/transport.ts'
export { openEventStream } from './stream/event-stream.ts'
export type { EventStream, EventStreamOptions, StreamEnd } from './stream/event-stream.ts'
export { fileCredential, memoryCredential } from './standing/credential.ts'
export type { Credential, PendingExchange } from './standing/credential.ts'
export { enroll } from './standing/enroll.ts'
export type { EnrollOptions } from './standing/enroll.ts'
export type { Logger } from '@downlink/protocol'
export type { MirrorPool } from './mirror/mirror-pool.ts'
export type { AgentEvent, AgentOptions, AgentStatus, ExecutorTask, TaskMap } from './options.ts'
export { readAgentStatus } from './state-directory/status-file.ts'
export type { AgentProcessState, AgentStatusReport } from './state-directory/status-file.ts'
export type { TaskEnd, TaskExecutor, TaskReporter, TaskRun, TaskStart } from './tasks/executor.ts'
export type { AnyTaskDefinition, AnyVerbDefinition } from './tasks/handler-executor.ts'
export type { ProcessTaskOptions } from './tasks/process-executor.ts'
export { processTask } from './tasks/process-task.ts'
export { CancelledError, defineTask, ShutdownError, TimedOutError } from './tasks/task.ts'
export type { OnRestart, TaskContext, TaskDefinition, VerbDefinition } from './tasks/task.ts'
export type { TrackedTask } from './tasks/tracked-run.ts'
