/** Options of `downlink hub` for whoever operates it: its log, its limits, how it stops. */
import type { DrainHubOptions, HubOptions } from '@downlink/hub'
import { limits, type Logger } from '@downlink/protocol'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { isIP } from 'node:net'
import type { CommandContext } from '../command-context.ts'
import { durationText } from '../duration.ts'
import { createJsonLogger } from '../json-logger.ts'
import { createLineLogger, LOG_LEVELS, type LogLevel } from '../line-logger.ts'
import { countArgument, durationArgument } from '../operator-command.ts'

/** The options, as commander reads them. */
export interface TuningFlags {
  readonly log?: 'text' | 'json'
  readonly logLevel?: LogLevel
  readonly accessLog?: boolean
  readonly openMetrics?: boolean
  readonly behind?: readonly string[]
  readonly acceptRate?: number
  readonly agentRate?: number
  readonly operatorRate?: number
  readonly keyAge?: number
  readonly streamAge?: number
  readonly history?: number
  readonly drain?: number
  readonly restart?: number
}

/** Adds them. */
export function withTuningOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--log <form>', 'lines for people or for programs, on standard error').choices([
        'text',
        'json',
      ]),
    )
    .addOption(
      new Option(
        '--log-level <level>',
        'how grave it must be; warn as text, info as json, unless told',
      ).choices(LOG_LEVELS),
    )
    .option('--access-log', 'log each request that was answered, at info')
    .option('--open-metrics', 'let whoever can reach the hub read /metrics, without a token')
    .option(
      '--behind <address>',
      'a proxy before the hub, or a network of them, such as 10.0.0.0/8, which is not limited as one sender; may stand several times',
      proxyArgument,
    )
    .option('--accept-rate <count>', 'streams that it accepts per second, 1000 unless told', rateArgument)
    .option('--agent-rate <count>', 'requests per second of one agent, 50 unless told', rateArgument)
    .option('--operator-rate <count>', 'requests per second of one token, 1000 unless told', rateArgument)
    .option(
      '--key-age <duration>',
      'how old an agent\u2019s key may get before it is replaced, from 1h; any age unless told',
      atLeast(limits.AGENT_KEY_AGE_MS_MIN),
    )
    .option(
      '--stream-age <duration>',
      'how old a stream may get before its agent is asked to open another, from 2m',
      streamAgeArgument,
    )
    .option(
      '--history <duration>',
      'how long the audit trail is kept, from 1h, or forever; 90d unless told',
      historyArgument,
    )
    .option(
      '--drain <duration>',
      'time over which streams end when it stops; as many need, up to 5s, unless told',
      durationArgument,
    )
    .option(
      '--restart <duration>',
      'how long after that agents may come back, 2s unless told; as long as a start takes',
      durationArgument,
    )
}

/** What `createHub` is told by them. */
export function tuningOf(flags: TuningFlags): Partial<HubOptions> {
  const { accessLog, openMetrics, behind, acceptRate, agentRate, operatorRate, keyAge, streamAge, history } =
    flags
  return {
    ...(accessLog === undefined ? {} : { isAccessLogged: accessLog }),
    ...(openMetrics === undefined ? {} : { areMetricsOpen: openMetrics }),
    ...(behind === undefined ? {} : { proxies: behind }),
    ...(acceptRate === undefined ? {} : { acceptPerS: acceptRate }),
    ...(agentRate === undefined ? {} : { agentRequestsPerS: agentRate }),
    ...(operatorRate === undefined ? {} : { operatorRequestsPerS: operatorRate }),
    ...(keyAge === undefined ? {} : { agentKeyAgeMsMax: keyAge }),
    ...(streamAge === undefined ? {} : { streamAgeMsMax: streamAge }),
    ...(history === undefined ? {} : { historyMs: history }),
  }
}

/** How the hub is told to stop. */
export function drainOf({ drain, restart }: TuningFlags): DrainHubOptions {
  return {
    ...(drain === undefined ? {} : { drainMs: drain }),
    ...(restart === undefined ? {} : { restartMs: restart }),
  }
}

/** Where the hub logs. An access log asks for `info`, or nobody would see it. */
export function hubLogger({ output, clock }: CommandContext, flags: TuningFlags): Logger {
  const { log = 'text', accessLog = false, logLevel = log === 'json' || accessLog ? 'info' : 'warn' } = flags
  return log === 'json'
    ? createJsonLogger(output, clock, 'hub', logLevel)
    : createLineLogger(output, 'hub', logLevel)
}

/** For commander: a rate that a hub takes. */
function rateArgument(text: string): number {
  const rate = countArgument(text)
  if (rate <= limits.REQUESTS_PER_S_MAX) return rate
  throw new InvalidArgumentError(`Give at most ${limits.REQUESTS_PER_S_MAX}.`)
}

function atLeast(leastMs: number): (text: string) => number {
  return (text) => {
    const ms = durationArgument(text)
    if (ms >= leastMs) return ms
    throw new InvalidArgumentError(`Give at least ${durationText(leastMs)}.`)
  }
}

function historyArgument(text: string): number {
  return text === 'forever' ? Infinity : atLeast(limits.HISTORY_MS_MIN)(text)
}

function streamAgeArgument(text: string): number {
  const ms = atLeast(limits.STREAM_AGE_MS_MIN)(text)
  if (ms <= limits.STREAM_AGE_MS_MAX) return ms
  throw new InvalidArgumentError(`Give at most ${durationText(limits.STREAM_AGE_MS_MAX)}.`)
}

/** For commander: gathers addresses and networks. */
function proxyArgument(text: string, before: readonly string[] = []): readonly string[] {
  const [address = '', prefix = '0'] = text.split('/')
  const family = isIP(address)
  if (family !== 0 && /^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128)) {
    return [...before, text]
  }
  throw new InvalidArgumentError('Give an address such as 10.0.0.7, or a network such as 10.0.0.0/8.')
}
