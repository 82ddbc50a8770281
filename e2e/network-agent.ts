/** Starts an agent in a process of its own, and waits for what it says. */
import type { AgentStatus } from '@downlink/agent'
import { fileURLToPath } from 'node:url'
import { startJsonProcess, type JsonProcess } from './json-process.ts'

const FIXTURE = fileURLToPath(new URL('./fixtures/network-agent.ts', import.meta.url))

/** What the agent's process is told. */
export interface NetworkAgentConfig {
  readonly hubs: readonly string[]
  readonly stateDirectory: string
  readonly mode?: 'auto' | 'sse' | 'poll'
  readonly caFile?: string
  readonly certFile?: string
  readonly keyFile?: string
}

/** One line of its output. */
export interface Said {
  /** Wall clock of its process, ms. */
  readonly atMs: number
  readonly status?: Omit<AgentStatus, 'hub'> & { readonly hub: string }
  /** A control that it was asked to apply: its verb and task. */
  readonly applied?: string
  readonly logged?: string
  readonly error?: string
  /** How long looking at a file, and looking up `localhost`, took, ms: it was asked by SIGUSR1. */
  readonly fileMs?: number
  readonly lookupMs?: number
}

/** A verdict of the path, when it was first said, ms, and with what figures. */
export type Named = { readonly atMs: number } & NonNullable<Said['status']>['path']

type PathVerdict = AgentStatus['path']['verdict']

/** An agent that runs. */
export interface NetworkAgent extends JsonProcess<Said> {
  readonly status: () => Said['status']
  /** Resolves with when it first said so at or after `sinceMs`, by its wall clock, ms. */
  reaches(downlink: AgentStatus['downlink'], sinceMs?: number): Promise<number>
  /** Resolves with when it first was on no stream at or after `sinceMs`, ms. */
  leavesStream(sinceMs: number): Promise<number>
  /** Resolves with what it says once it names this verdict of the path, at or after `sinceMs`. */
  names(verdict: PathVerdict, sinceMs?: number): Promise<Named>
  /** Resolves with when it applied that control, ms. */
  applies(control: string): Promise<number>
  /** How often it was asked to apply it. */
  timesApplied(control: string): number
}

/** Starts the agent; `within` is a command that runs another one, such as `ip netns exec NAME`. */
export function startNetworkAgent(
  config: NetworkAgentConfig,
  credential: string,
  options: { readonly within?: readonly string[]; readonly env?: Readonly<Record<string, string>> } = {},
): NetworkAgent {
  const agent = startJsonProcess<Said>(
    [
      ...(options.within ?? []),
      process.execPath,
      '--conditions=@downlink/source',
      FIXTURE,
      JSON.stringify(config),
    ],
    { ...options.env, DOWNLINK_CREDENTIAL: credential },
  )
  const applied = (control: string): readonly Said[] => agent.lines.filter((said) => said.applied === control)
  return {
    ...agent,
    status: () => agent.lines.findLast((said) => said.status !== undefined)?.status,
    reaches: (downlink, sinceMs = 0) =>
      agent.until(
        `its downlink is ${downlink}`,
        (lines) => lines.find((said) => said.atMs >= sinceMs && said.status?.downlink === downlink)?.atMs,
      ),
    leavesStream: (sinceMs) =>
      agent.until(
        'it is on no stream',
        (lines) =>
          lines.find(
            ({ atMs, status }) => atMs >= sinceMs && status !== undefined && status.downlink !== 'sse',
          )?.atMs,
      ),
    names: (verdict, sinceMs = 0) =>
      agent.until(`it names the path ${verdict}`, (lines) => {
        const said = lines.find(({ atMs, status }) => atMs >= sinceMs && status?.path.verdict === verdict)
        return said?.status === undefined ? undefined : { atMs: said.atMs, ...said.status.path }
      }),
    applies: (control) => agent.until(`it applies ${control}`, () => applied(control)[0]?.atMs),
    timesApplied: (control) => applied(control).length,
  }
}
