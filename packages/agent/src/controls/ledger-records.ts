/** What the agent journals: the ledger's state is the fold of these records, so a crash loses nothing that was written. */
import type { Delivery, IssuedControl, Json, Revision, StateVerb } from '@downlink/protocol'

/** How a control ended on the agent. */
export type Outcome =
  | { readonly state: 'applied' }
  | { readonly state: 'failed'; readonly code: string; readonly message: string }

/** What is meant to be true of a task, whatever happens to the process in between. */
export type IntendedState = 'running' | 'paused' | 'cancelled'

/** An intended state, and what it falls back to if the control that it came from fails. */
export interface Intention {
  readonly state: IntendedState
  readonly before?: { readonly controlId: string; readonly state: IntendedState }
}

/** How a task ended. */
export interface TaskEndRecord {
  readonly status: 'completed' | 'failed' | 'cancelled'
  readonly result?: Json
  readonly code?: string
  readonly message?: string
}

/** One line of the journal. */
export type LedgerRecord =
  /** The first record of every journal. A new id tells the hub that decisions were lost. */
  | {
      readonly type: 'journal'
      readonly journalId: string
      /** Written when the journal is compacted, so that its position goes on from where it was. */
      readonly position?: number
    }
  /** A control was accepted and is about to be applied. */
  | { readonly type: 'intent'; readonly control: IssuedControl; readonly delivery: Delivery }
  | { readonly type: 'outcome'; readonly controlId: string; readonly outcome: Outcome }
  /** The hub has committed these outcomes or decisions. */
  | { readonly type: 'forget'; readonly ids: readonly string[] }
  /** A pause, resume or cancel made on this machine. */
  | {
      readonly type: 'decision'
      readonly decisionId: string
      readonly taskId: string
      readonly action: StateVerb
      readonly basedOn: Revision
    }
  /** A task was taken on. */
  | { readonly type: 'task'; readonly taskId: string; readonly kind: string; readonly input: Json }
  /** What an executor wants the next life of the agent to know. */
  | { readonly type: 'facts'; readonly taskId: string; readonly facts: Json }
  | { readonly type: 'end'; readonly taskId: string; readonly end: TaskEndRecord; readonly wallMs: number }
  /** The hub has seen the task's end; its lanes are kept for a while. */
  | { readonly type: 'drop'; readonly taskId: string; readonly wallMs: number }
  /** A lane's mark, written when the journal is compacted. */
  | {
      readonly type: 'lane'
      readonly taskId: string
      readonly lane: string
      readonly mark: Revision
      readonly localBasedOn?: Revision
      readonly endedWallMs?: number
    }
  /** A task's intended state, written when the journal is compacted. */
  | ({ readonly type: 'intended'; readonly taskId: string } & Intention)
