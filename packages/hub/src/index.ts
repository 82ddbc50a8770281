/** The server side of the Downlink control channel. */
export type { CommitCounts } from './store/commit-counts.ts'
export type { Histogram } from './metrics/histogram.ts'
export { StoreError } from './store/store.ts'
export type {
  Bucket,
  Change,
  HistoryEntry,
  HistoryPageRequest,
  HistoryScope,
  PageRequest,
  Store,
  StoredHistoryEntry,
  StoreErrorCode,
  StoreHealth,
} from './store/store.ts'
export { createHub } from './hub.ts'
export type { Hub } from './hub.ts'
export type { DrainHubOptions, HubOptions } from './hub-options.ts'
export type { Handler } from './http-server.ts'
export type { OnSync, OwnControl, OwnSyncContent, OwnSyncRequest } from './delivery/own-sync.ts'
export type { Fetch } from './http/in-process-fetch.ts'
export type { AuthenticateOperator } from './operator/operator-authentication.ts'
export { createOperatorToken } from './operator/operator-tokens.ts'
export type { NewOperatorToken, Operator } from './operator/operator-tokens.ts'
export type { OperatorScope } from '@downlink/protocol'
export { silentLogger } from './logger.ts'
export type { Logger } from './logger.ts'
export { HubError } from './hub-error.ts'
export type { ControlTrace } from './control-trace.ts'
export { createMemoryStore } from './store/memory-store.ts'
export type { MemoryStoreOptions } from './store/memory-store.ts'
export { openSqliteStore } from './store/sqlite-store.ts'
export type { SqliteStoreOptions } from './store/sqlite-store.ts'
