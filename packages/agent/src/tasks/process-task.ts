/** A kind of task that is a command of the agent's own configuration. */
import type { ExecutorTask } from '../options.ts'
import { createProcessExecutor, type ProcessTaskOptions } from './process-executor.ts'

/**
 * Makes a command a kind of task, for the `tasks` of `createAgent`: each task is a process group that pause stops,
 * resume continues and cancel ends (see {@link createProcessExecutor}).
 * @throws DownlinkError `bad_config` when the agent is created, if the command or a placeholder cannot be used.
 */
export function processTask(options: ProcessTaskOptions): ExecutorTask {
  return { createExecutor: (clock) => createProcessExecutor({ ...options, clock }) }
}
