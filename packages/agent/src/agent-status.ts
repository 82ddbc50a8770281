/** An agent's standing and the state of its downlink, from what the connection and the syncs report. */
import { DownlinkError } from '@downlink/protocol'
import type { ConnectionStatus } from './connection/connection-state.ts'
import type { PollHealth } from './connection/poll-state.ts'
import type { AgentStatus } from './options.ts'

const REMEDIES: Readonly<Record<string, string>> = {
  unauthorized: 'The hub does not know this credential. Enroll the agent again with a new enrollment key.',
  key_retired: 'This credential has been replaced. Enroll the agent again with a new enrollment key.',
  no_credential: 'The agent has no credential yet. Enroll it with an enrollment key.',
  agent_revoked: 'The hub says that this agent was revoked. If that is a mistake, enroll it again.',
  agent_key_mismatch: 'The credential belongs to another agent. Enroll this agent with a key of its own.',
  agent_mismatch: 'The credential belongs to another agent id. Check `agentId`, or enroll this agent.',
  agent_hash_taken: 'Another copy of this agent runs with the same identity. Stop it, or enroll this one.',
  agent_version_too_old: 'The hub needs a newer version of this agent. Update it.',
  agent_limit_reached: 'The plan allows no more agents. Remove one, or change the plan.',
  insecure_hub:
    'The hub is not on TLS. Use https, or set `allowPlainHttp` if you accept that the key can be read.',
}

const JOURNAL_REMEDY =
  'The journal cannot be written, so no control is decided. Free disk space, or mend the state directory.'

/** Collects what is known and says it in one value. */
export class StatusBoard {
  readonly #hub: () => URL
  readonly #onChange: (status: AgentStatus) => void
  #streamOpen = false
  #poll: PollHealth = 'off'
  #syncWorks = false
  #blockedBy: string | undefined
  #journalWorks = true
  #current: AgentStatus

  /** @param hub - the mirror in use. */
  constructor(hub: () => URL, onChange: (status: AgentStatus) => void) {
    this.#hub = hub
    this.#onChange = onChange
    this.#current = { standing: 'ok', downlink: 'offline', hub: hub() }
  }

  get status(): AgentStatus {
    return this.#current
  }

  connection(status: ConnectionStatus): void {
    // Beside `wake` a stream is only on probation.
    this.#streamOpen = status.name === 'open' && status.poll === 'off'
    this.#poll = status.poll
    if (this.#streamOpen || (this.#poll === 'working' && status.failure === undefined))
      this.#blockedBy = undefined
    else if (status.failure !== undefined && Object.hasOwn(REMEDIES, status.failure.code)) {
      this.#blockedBy = status.failure.code
    }
    this.#update()
  }

  syncAnswered(): void {
    this.#syncWorks = true
    this.#blockedBy = undefined
    this.#update()
  }

  syncFailed(error: unknown): void {
    this.#syncWorks = false
    if (error instanceof DownlinkError && Object.hasOwn(REMEDIES, error.code)) this.#blockedBy = error.code
    this.#update()
  }

  /** Whether the last decision could be kept. */
  journal(works: boolean): void {
    if (works === this.#journalWorks) return
    this.#journalWorks = works
    this.#update()
  }

  #update(): void {
    const refusal = this.#blockedBy === undefined ? undefined : REMEDIES[this.#blockedBy]
    const remedy = refusal ?? (this.#journalWorks ? undefined : JOURNAL_REMEDY)
    const next: AgentStatus = {
      standing: remedy === undefined ? 'ok' : 'blocked',
      downlink: this.#downlink(),
      hub: this.#hub(),
      ...(remedy === undefined ? {} : { remedy }),
    }
    const { standing, downlink, hub } = this.#current
    const changed =
      next.standing !== standing ||
      next.downlink !== downlink ||
      next.hub.href !== hub.href ||
      next.remedy !== this.#current.remedy
    this.#current = next
    if (changed) this.#onChange(next)
  }

  #downlink(): AgentStatus['downlink'] {
    if (this.#streamOpen) return 'sse'
    // The first question may be held for long; that the hub answers syncs says that it was heard.
    if (this.#poll === 'working' || (this.#poll === 'starting' && this.#syncWorks)) return 'long-poll'
    return this.#syncWorks ? 'timer' : 'offline'
  }
}
