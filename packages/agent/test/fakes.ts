/** Stand-ins for what surrounds the control loop and the task runtime: a journal that fails on demand, runs in a test's hands. */
import { DownlinkError, laneOf, type IssuedControl, type Json } from '@downlink/protocol'
import { createTestClock, type TestClock } from '../../testkit/src/test-clock.ts'
import { createMemoryJournal } from '../src/controls/journal.ts'
import type { LedgerRecord } from '../src/controls/ledger-records.ts'
import type { Ledger } from '../src/controls/ledger.ts'
import { PatientJournal } from '../src/controls/patient-journal.ts'
import type { TaskEnd, TaskExecutor, TaskRun, TaskStart } from '../src/tasks/executor.ts'
import { TaskRuntime } from '../src/tasks/runtime.ts'
import type { CancelledError } from '../src/tasks/task.ts'

/** Lets everything that waits for promises alone go on. */
export async function turn(): Promise<void> {
  for (let count = 0; count < 5; count++) await new Promise((resolve) => setImmediate(resolve))
}

export function issued(controlId: string, action: string, revision: number, taskId = 't1'): IssuedControl {
  return { controlId, action, taskId, revision, epoch: 1, lane: laneOf(action), args: null }
}

/** A run that ends when the test says so, and remembers what it was told. */
export interface FakeRun extends TaskRun {
  readonly start: TaskStart
  readonly told: string[]
  /** Why it was cancelled. */
  reason?: CancelledError
  finish(end: TaskEnd): void
  /** What `pause` waits for. */
  pausing: Promise<void>
}

/** What the kind of task declares. */
export type KindOptions = Pick<TaskExecutor, 'timeLimitMs' | 'onRestart'>

export interface FakeExecutor extends TaskExecutor {
  readonly runs: FakeRun[]
  readonly reaped: Json[]
  /** What `reap` waits for. */
  reaping: Promise<void>
  /** What the verb `slow` waits for. */
  slow: Promise<void>
  /** Whether a run ends as soon as it is cancelled or shut down. */
  obeys: boolean
}

export function createFakeExecutor(kind: KindOptions = {}): FakeExecutor {
  const executor: FakeExecutor = {
    ...kind,
    runs: [],
    reaped: [],
    reaping: Promise.resolve(),
    slow: Promise.resolve(),
    obeys: true,
    deliveryOf: (action) => (['slow', 'poke', 'bad'].includes(action) ? 'atMostOnce' : undefined),
    start(start) {
      const { promise: ended, resolve: finish } = Promise.withResolvers<TaskEnd>()
      const told: string[] = []
      const run: FakeRun = {
        start,
        told,
        ended,
        finish,
        pausing: Promise.resolve(),
        async pause() {
          told.push('pause')
          await run.pausing
        },
        async resume() {
          told.push('resume')
        },
        async cancel(reason) {
          told.push('cancel')
          if (reason !== undefined) run.reason = reason
          if (executor.obeys) finish({ status: 'cancelled' })
        },
        async shutdown() {
          told.push('shutdown')
          if (executor.obeys) finish({ status: 'interrupted' })
          await ended
        },
        async applyVerb(action) {
          told.push(action)
          if (action === 'bad') throw new DownlinkError('bad_args', 'It does not fit.')
          if (action === 'slow') await executor.slow
        },
      }
      executor.runs.push(run)
      return run
    },
    async reap(facts) {
      executor.reaped.push(facts)
      await executor.reaping
    },
  }
  return executor
}

export interface Workbench {
  readonly clock: TestClock
  readonly ledger: Ledger
  readonly records: LedgerRecord[]
  readonly executor: FakeExecutor
  readonly patientJournal: PatientJournal
  readonly runtime: TaskRuntime
  readonly troubles: string[]
  readonly append: (records: readonly LedgerRecord[]) => Promise<void>
  /** While it is true nothing can be journalled. */
  diskIsFull: boolean
  /** What every append waits for. */
  disk: Promise<void>
  changes: number
}

/** A task runtime over a journal in memory. */
export function createWorkbench(
  options: { readonly concurrency?: number; readonly kind?: KindOptions } = {},
): Workbench {
  const clock = createTestClock()
  const journal = createMemoryJournal()
  const executor = createFakeExecutor(options.kind)
  const troubles: string[] = []
  const onTrouble = (_: unknown, message: string): void => void troubles.push(message)
  const records: LedgerRecord[] = []
  const append = async (added: readonly LedgerRecord[]): Promise<void> => {
    await bench.disk
    if (bench.diskIsFull) throw new DownlinkError('journal_unavailable', 'The disk is full.')
    await journal.append(added)
    records.push(...added)
  }
  const patientJournal = new PatientJournal({ append, clock, onTrouble })
  const bench: Workbench = {
    clock,
    ledger: journal.ledger,
    records,
    executor,
    patientJournal,
    troubles,
    append,
    diskIsFull: false,
    disk: Promise.resolve(),
    changes: 0,
    runtime: new TaskRuntime({
      executors: new Map([['job', executor]]),
      concurrency: options.concurrency ?? 2,
      clock,
      intendedState: (taskId) => journal.ledger.intendedState(taskId),
      keep: append,
      patientJournal,
      onChange: () => void bench.changes++,
      onTrouble,
    }),
  }
  return bench
}

export function job(taskId: string): { taskId: string; kind: string; input: Json } {
  return { taskId, kind: 'job', input: null }
}
