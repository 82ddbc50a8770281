/** What the path between an agent and its hub does to a stream: a closed set of verdicts, each with a sentence and a remedy. */
import { field, integerField, isJsonObject, type Json } from './json.ts'

/** One verdict. `ok`: streams come through, on time. `unknown`: nothing has been seen yet. */
export type PathVerdict =
  | 'unknown'
  | 'ok'
  | 'dns'
  | 'refused'
  | 'unreachable'
  | 'tls'
  | 'proxy-refused'
  | 'cut-early'
  | 'silent'
  | 'body-buffered'
  | 'one-behind'
  | 'stalled'
  | 'cut-idle'
  | 'unstable'
  | 'login-page'
  | 'wrong-content-type'
  | 'compressed'
  | 'not-http'
  | 'limit'
  | 'hub-refused'

/** What an agent says of its path. */
export interface PathReport {
  readonly verdict: PathVerdict
  /** Of `cut-idle`: after about how long without a frame connections are cut, ms. */
  readonly idleMs?: number
  /** Of `body-buffered` and `one-behind`: how late heartbeats come, from the hub's writing to the agent's reading, ms. */
  readonly lagMs?: number
}

/** A verdict in words, for people. */
export interface PathAdvice {
  readonly sentence: string
  /** What somebody can do; undefined where nothing is wrong. */
  readonly remedy?: string
}

const BUFFERED_REMEDY =
  "Turn buffering off for the agents' API on the proxies between (nginx: proxy_buffering off), or set the agent's mode to poll."

const ADVICE: Readonly<Record<PathVerdict, readonly [sentence: string, remedy?: string]>> = {
  unknown: ['Nothing is known of the path yet.'],
  ok: ['Streams come through on time.'],
  dns: [
    "The hub's name cannot be resolved.",
    'Check the URL, and the name servers of the machine that the agent runs on.',
  ],
  refused: [
    'Nothing answers at the address of the hub: connections are refused.',
    'Check that the hub runs, and that its port is open from here.',
  ],
  unreachable: [
    'Connections to the hub are neither taken nor refused.',
    'A firewall may drop them: allow the agent out to the host and port of the hub.',
  ],
  tls: [
    'No TLS connection comes about.',
    "Check the hub's certificate, its name and its issuer; behind a proxy that opens TLS, give its authority as `tls.extraCa`.",
  ],
  'proxy-refused': [
    'The proxy between does not let the agent through.',
    'Check the proxy that HTTPS_PROXY or the option `proxy` names, its user and password, and that it allows CONNECT to the hub.',
  ],
  'cut-early': [
    'Connections are closed before a stream begins.',
    'Look at the log of the proxy or firewall between: it closes what it does not know.',
  ],
  silent: [
    'Connections are taken, but no answer comes: something between holds even the headers back.',
    "Turn buffering off for the agents' API on the proxies between (nginx: proxy_buffering off); see that the hub itself is not stuck.",
  ],
  'body-buffered': [
    'The stream opens, but what is sent on it is held back and comes late or in batches.',
    BUFFERED_REMEDY,
  ],
  'one-behind': ['Each event comes only when the next one is sent.', BUFFERED_REMEDY],
  stalled: [
    'Streams work and then fall silent, without being closed.',
    'A firewall may forget connections, or drop what is larger than it takes (MTU). Keep connections with frequent heartbeats: lower `heartbeatMs` of the hub.',
  ],
  'cut-idle': [
    'Connections are cut when nothing is sent for a while.',
    'Raise the idle time-out of the proxy between to at least twice the heartbeat, or lower `heartbeatMs` of the hub below it.',
  ],
  unstable: [
    'Streams are cut again and again after a short life.',
    'Look at the log of the proxy between for a limit on the age of connections, and raise it to minutes.',
  ],
  'login-page': [
    "A web page or a redirect comes in the hub's place.",
    'Sign in to the network that the agent is in, or set the hub URL to where the hub is now.',
  ],
  'wrong-content-type': [
    'What answers is no event stream.',
    'Check that the hub URL leads to a hub, and that nothing between rewrites its answers.',
  ],
  compressed: [
    'Something between compresses the stream, and holds it back to do so.',
    "Turn compression off for the agents' API on the proxies between.",
  ],
  'not-http': ['What answers does not speak HTTP/1.1.', 'Check host and port of the hub URL.'],
  limit: [
    'What answers passes the bounds of the protocol.',
    'Look at what stands between: a hub never sends headers, lines or padding of that size.',
  ],
  'hub-refused': [
    'The path is fine: the hub answers, but refuses the stream.',
    'Look at the standing of the agent, and at the log of the hub.',
  ],
}

/** A report in words. */
export function pathAdvice({ verdict, idleMs, lagMs }: PathReport): PathAdvice {
  const [words, remedy] = ADVICE[verdict]
  const measured =
    verdict === 'cut-idle' && idleMs !== undefined
      ? ` It takes about ${seconds(idleMs)}.`
      : lagMs !== undefined
        ? ` They are about ${seconds(lagMs)} late.`
        : ''
  return { sentence: words + measured, ...(remedy === undefined ? {} : { remedy }) }
}

/** A report from untrusted JSON; undefined if it names no verdict that is known here. */
export function parsePathReport(value: Json | undefined): PathReport | undefined {
  if (value === undefined || !isJsonObject(value)) return undefined
  const verdict = field(value, 'verdict')
  if (!isPathVerdict(verdict)) return undefined
  const idleMs = integerField(value, 'idleMs', 0, Number.MAX_SAFE_INTEGER)
  const lagMs = integerField(value, 'lagMs', 0, Number.MAX_SAFE_INTEGER)
  return {
    verdict,
    ...(idleMs === undefined ? {} : { idleMs }),
    ...(lagMs === undefined ? {} : { lagMs }),
  }
}

function isPathVerdict(value: Json | undefined): value is PathVerdict {
  return typeof value === 'string' && Object.hasOwn(ADVICE, value)
}

function seconds(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`
}
