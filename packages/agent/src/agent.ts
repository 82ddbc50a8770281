/** What an agent does for the daemon that embeds it. */
import type { StateVerb } from '@downlink/protocol'
import type { AgentEvent, AgentStatus } from './options.ts'
import type { TrackedTask } from './tasks/tracked-run.ts'

/** Why an agent's run has ended. */
export interface AgentEnd {
  readonly reason: 'stopped' | 'revoked'
}

/** An agent: one long-lived object per daemon. */
export interface Agent extends AsyncDisposable {
  /**
   * Runs until `signal` aborts, then ends every task as unfinished, reports once more and resolves. Call it once.
   * Resolves as `revoked` when the hub has said twice that the agent was revoked: its tasks have ended, and its
   * credential is put aside.
   * @throws DownlinkError if it cannot start: no credential, no agent id, a hub URL that must not be dialled, or a
   * state directory that cannot be read or that another process uses (`state_directory_in_use`).
   */
  run(options?: { readonly signal?: AbortSignal }): Promise<AgentEnd>
  /**
   * Makes a task known that the application runs by itself.
   * @throws DownlinkError `task_exists`.
   */
  track(taskId: string, options?: { readonly kind?: string }): TrackedTask
  /**
   * A pause, resume or cancel made on this machine; it wins over everything that this agent had seen.
   * @throws DownlinkError `not_running` before `run`, or the code with which the task refused.
   */
  decide(taskId: string, action: StateVerb): Promise<void>
  status(): AgentStatus
  /** Asks for a sync soon. */
  syncNow(): void
  /** Calls `listener` for every event of `type`, until the returned value is disposed or `signal` aborts. */
  on<K extends AgentEvent['type']>(
    type: K,
    listener: (event: Extract<AgentEvent, { type: K }>) => void,
    options?: { readonly signal?: AbortSignal },
  ): Disposable
}
