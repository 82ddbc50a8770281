/** An agent's standing and the state of its downlink, from what the connection and the syncs report. */
import { pathAdvice, type Clock, type PathReport, type PathVerdict } from '@downlink/protocol'
import type { ConnectionStatus } from './downlink/connection-state.ts'
import type { PollHealth } from './downlink/poll-state.ts'
import type { Journal } from './controls/journal.ts'
import type { AgentStatus } from './options.ts'
import { INITIAL_STANDING, type BlockingCode, type StandingState } from './standing/standing-machine.ts'
import type { TaskRuntime } from './tasks/runtime.ts'

const JOURNAL_UNAVAILABLE = 'journal_unavailable'

type BlockedCode = BlockingCode | typeof JOURNAL_UNAVAILABLE

const REMEDIES: Readonly<Record<BlockedCode, string>> = {
  unauthorized: 'The hub does not know this credential. Enroll the agent again with a new enrollment key.',
  key_retired: 'This credential has been replaced. Enroll the agent again with a new enrollment key.',
  agent_mismatch: 'The credential belongs to another agent id. Check `agentId`, or enroll this agent.',
  agent_hash_taken: 'Another copy of this agent runs with the same identity. Stop it, or enroll this one.',
  agent_version_too_old: 'The hub needs a newer version of this agent. Update it.',
  agent_limit_reached: 'The plan allows no more agents. Remove one, or change the plan.',
  http_413:
    'Something between refuses what this agent reports as too large. Have it take bodies of 1 MiB (nginx: client_max_body_size 1m).',
  [JOURNAL_UNAVAILABLE]:
    'The journal cannot be written, so no control is decided. Free disk space, or mend the state directory.',
}

const SUSPECTED_REMEDY =
  'The hub says that this agent was revoked; it is asked again, at another mirror if there is one, before that is believed.'
const REVOKED_REMEDY =
  'The agent was revoked, and its credential is put aside. If that is a mistake, enroll it again with a new enrollment key.'

/** What the board does not collect by itself. */
export type AgentWork = Pick<AgentStatus, 'openControls' | 'unreportedOutcomes' | 'tasks'> & {
  readonly journal: Exclude<AgentStatus['journal'], 'failing'>
}

/** What the tasks and the journal add; `journal` is undefined while the agent does not run. */
export function workOf(runtime: TaskRuntime, journal: Journal | undefined, isOnDisk: boolean): AgentWork {
  const ledger = journal?.ledger.state
  return {
    openControls: ledger?.intents.size ?? 0,
    unreportedOutcomes: ledger?.outcomes.size ?? 0,
    tasks: runtime.reporting.counts(),
    journal: ledger === undefined ? 'closed' : isOnDisk ? 'ok' : 'memory',
  }
}

type Standing = Pick<AgentStatus, 'standing' | 'code' | 'downlink' | 'hub' | 'remedy' | 'sinceMs'>

/** What a status board needs. */
export interface StatusBoardOptions {
  readonly clock: Clock
  /** The mirror in use. */
  readonly hub: () => URL
  readonly work: () => AgentWork
  readonly onChange: (status: AgentStatus) => void
  /** A sync was answered: nothing has changed but that. */
  readonly onSync?: () => void
  /** Decisions can be kept no more, or again. */
  readonly onJournal?: () => void
}

/** Collects what is known and says it in one value. */
export class StatusBoard {
  readonly #options: StatusBoardOptions
  #streamOpen = false
  #poll: PollHealth = 'off'
  #path: PathReport = { verdict: 'unknown' }
  #toldVerdict: PathVerdict = 'unknown'
  #syncWorks = false
  #standing: StandingState = INITIAL_STANDING
  #journalWorks = true
  #lastSync: AgentStatus['lastSync']
  #current: Standing

  constructor(options: StatusBoardOptions) {
    const { clock, hub } = options
    this.#options = options
    this.#current = { standing: 'ok', downlink: 'offline', hub: hub(), sinceMs: Math.round(clock.wallMs()) }
  }

  get status(): AgentStatus {
    const work = this.#options.work()
    const journal = work.journal === 'ok' && !this.#journalWorks ? 'failing' : work.journal
    return {
      ...this.#current,
      ...(this.#lastSync === undefined ? {} : { lastSync: this.#lastSync }),
      path: { ...this.#path, ...pathAdvice(this.#path) },
      ...work,
      journal,
    }
  }

  /** The code of what keeps the agent from its work, to be told to the hub; what the hub itself refuses, it knows. */
  get blockedBy(): string | undefined {
    return this.#journalWorks ? undefined : JOURNAL_UNAVAILABLE
  }

  /** What is seen of the path to the hub, to be told to the hub. */
  get path(): PathReport {
    return this.#path
  }

  connection(status: ConnectionStatus): void {
    // Beside `wake` a stream is only on probation.
    this.#streamOpen = status.name === 'open' && status.poll === 'off'
    this.#poll = status.poll
    this.#path = status.path
    this.#update()
  }

  /** What the hubs' answers come to. */
  standing(state: StandingState): void {
    this.#standing = state
    this.#update()
  }

  syncAnswered(): void {
    this.#syncWorks = true
    this.#update()
  }

  /** A sync was answered after so long; whether its reply is of use is told by the other methods. */
  roundTrip(roundTripMs: number): void {
    this.#lastSync = { atMs: Math.round(this.#options.clock.wallMs()), roundTripMs }
    this.#options.onSync?.()
  }

  syncFailed(): void {
    this.#syncWorks = false
    this.#update()
  }

  /** Whether the last decision could be kept. */
  journal(works: boolean): void {
    if (works === this.#journalWorks) return
    this.#journalWorks = works
    this.#update()
    this.#options.onJournal?.()
  }

  #update(): void {
    const next: Standing = {
      ...this.#standingNow(),
      downlink: this.#downlink(),
      hub: this.#options.hub(),
      sinceMs: Math.round(this.#options.clock.wallMs()),
    }
    const { standing, downlink, hub } = this.#current
    const changed =
      next.standing !== standing ||
      next.downlink !== downlink ||
      next.hub.href !== hub.href ||
      next.code !== this.#current.code ||
      next.remedy !== this.#current.remedy
    const isPathNews = this.#path.verdict !== this.#toldVerdict
    if (changed) this.#current = next
    else if (!isPathNews) return
    this.#toldVerdict = this.#path.verdict
    this.#options.onChange(this.status)
  }

  #standingNow(): Pick<AgentStatus, 'standing' | 'code' | 'remedy'> {
    const state = this.#standing
    switch (state.name) {
      case 'revoked':
        return { standing: 'revoked', code: state.code, remedy: REVOKED_REMEDY }
      case 'suspected':
        return { standing: 'blocked', code: state.code, remedy: SUSPECTED_REMEDY }
      case 'blocked':
        return blocked(state.code)
      case 'ok':
        return this.#journalWorks ? { standing: 'ok' } : blocked(JOURNAL_UNAVAILABLE)
    }
  }

  #downlink(): AgentStatus['downlink'] {
    if (this.#streamOpen) return 'sse'
    // The first question may be held for long; that the hub answers syncs says that it was heard.
    if (this.#poll === 'working' || (this.#poll === 'starting' && this.#syncWorks)) return 'long-poll'
    return this.#syncWorks ? 'timer' : 'offline'
  }
}

function blocked(code: BlockedCode): Pick<AgentStatus, 'standing' | 'code' | 'remedy'> {
  return { standing: 'blocked', code, remedy: REMEDIES[code] }
}
