/** The servers that the hub suites measure, each started the same way. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts, startServerProcess } from '../../e2e/server-process.ts'
import { startChild, type Child } from '../child.ts'
import type { PeerKind } from './peer-process.ts'
import { dropScratch, scratchFolder } from './scratch.ts'
import { fleetFolder, type FleetFolder } from './template.ts'

/** A server under load. */
export interface Subject extends AsyncDisposable {
  /** Whose memory and CPU is measured, their children's too. */
  readonly pids: readonly number[]
  readonly url: string
  /** What the load generator is told of it. */
  readonly loadArgs: readonly string[]
}

/** How a server is started. */
export interface SubjectOptions {
  readonly streams: number
  readonly heartbeatMs: number
}

/** Our hub: credentials checked, controls on the disk before they are acknowledged. */
export interface OurHub extends Subject {
  readonly files: FleetFolder
  /** `kill -9`, and a new process on the same data and port. */
  killAndRestart(): Promise<void>
  handOver(drainMs: number): Promise<void>
  /** Of its main thread. */
  profile: Child['profile']
}

/** As `downlink hub` starts Node. */
const HUB_NODE_ARGS = ['--max-semi-space-size=16']

/** Starts our hub on a copy of the template. */
export async function startOurs(
  options: SubjectOptions & { readonly isHandedOver?: boolean },
): Promise<OurHub> {
  const { streams, heartbeatMs, isHandedOver = false } = options
  const files = await fleetFolder(streams)
  const start = (port: string) =>
    startChild('fleet/hub-process.ts', [files.folder, port, String(heartbeatMs)], HUB_NODE_ARGS)
  let child = start('0')
  const { url } = (await child.ask({ do: 'start', isHandedOver })) as { url: string }
  return {
    files,
    get pids() {
      return [child.pid]
    },
    url,
    loadArgs: ourLoadArgs(files),
    async killAndRestart() {
      await child[Symbol.asyncDispose]()
      child = start(new URL(url).port)
      await child.ask({ do: 'start', isHandedOver })
    },
    profile: (work) => child.profile(work),
    async handOver(drainMs) {
      await child.ask({ do: 'handOver', drainMs })
    },
    async [Symbol.asyncDispose]() {
      await child[Symbol.asyncDispose]()
      dropScratch(files.folder)
    },
  }
}

/** Streams as our agents open them, operators as our API wants them. */
function ourLoadArgs({ keysFile, token }: FleetFolder): readonly string[] {
  return [
    '--keys',
    keysFile,
    '--path',
    '/api/internal/agent/events',
    '--header',
    'Authorization: Bearer {key}',
    '--publish-header',
    `Authorization: Bearer ${token}`,
    '--publish-path',
    '/api/v1/agents/a{i}/controls',
    '--batch-path',
    '/api/v1/controls',
    // The window tells one broadcast from the next.
    '--broadcast-path',
    '/api/v1/sync',
    '--broadcast-body',
    '{"selector":{},"withinMs":{seq}}',
    '--broadcast-match',
    '"withinMs":',
  ]
}

/** For streams that do not behave as agents: the hub shall take them for some that acknowledge. */
export const ACKNOWLEDGING: readonly string[] = [
  '--header',
  'Downlink-Boot: boot-{i}',
  '--header',
  'Downlink-Connect: 1',
  '--header',
  'Downlink-Journal: journal-{i} 0',
]

/** Starts one of the peers in Node. */
export async function startPeer(kind: PeerKind, { heartbeatMs }: SubjectOptions): Promise<Subject> {
  const child = startChild('fleet/peer-process.ts', [kind, String(heartbeatMs)])
  const { url } = (await child.ask({})) as { url: string }
  return {
    pids: [child.pid],
    url,
    loadArgs: ['--broadcast-path', '/all'],
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

const NCHAN_MODULE = '/usr/lib/nginx/modules/ngx_nchan_module.so'

/** Why there is no Nchan here, or undefined. */
export function nchanMissing(): string | undefined {
  return existsSync(NCHAN_MODULE) ? undefined : 'Nchan is not installed (Debian: nginx libnginx-mod-nchan)'
}

/** Starts nginx with Nchan, one worker, in memory, without credentials. */
export async function startNchan({ heartbeatMs }: SubjectOptions): Promise<Subject> {
  const folder = scratchFolder('nchan')
  const [port = 0] = await freePorts(1)
  writeFileSync(join(folder, 'nginx.conf'), nchanConfiguration(folder, port, heartbeatMs))
  const url = `http://127.0.0.1:${port}`
  const server = await startServerProcess(
    ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'],
    () => isAnswering(`${url}/status`),
  )
  return {
    pids: [server.pid],
    url,
    loadArgs: ['--broadcast-path', '/all'],
    async [Symbol.asyncDispose]() {
      await server.stop()
      dropScratch(folder)
    },
  }
}

/** Whether anything is answered. */
export function isAnswering(url: string): Promise<boolean> {
  return fetch(url, { headers: { connection: 'close' } }).then(
    () => true,
    () => false,
  )
}

/** The lines that every nginx of the bench has. It closes idle connections when less than a sixteenth is left, so there are more than files. */
export function nginxHead(folder: string): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `daemon off; worker_processes 1; worker_rlimit_nofile 20000; ${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid; error_log stderr warn;
events { worker_connections 22000; multi_accept on; }
http {
  access_log off; keepalive_requests 10000000; keepalive_timeout 3600; tcp_nodelay on;
  client_max_body_size 64m; client_body_buffer_size 64k;
  ${kinds.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join(' ')}`
}

function nchanConfiguration(folder: string, port: number, heartbeatMs: number): string {
  const ping = `nchan_eventsource_ping_comment hb; nchan_eventsource_ping_interval ${heartbeatMs / 1_000};`
  return `load_module ${NCHAN_MODULE};
${nginxHead(folder)}
  nchan_shared_memory_size 1024m;
  server {
    listen 127.0.0.1:${port} backlog=8192;
    location ~ ^/x/(\\w+)$ { nchan_subscriber eventsource; nchan_channel_id a$1 all; nchan_subscriber_first_message newest; ${ping} }
    location ~ ^/pub/(\\w+)$ { nchan_publisher; nchan_channel_id a$1; nchan_message_buffer_length 10; nchan_message_timeout 5m; }
    location = /all { nchan_publisher; nchan_channel_id all; nchan_message_buffer_length 10; nchan_message_timeout 5m; }
    location = /status { nchan_stub_status; }
  }
}
`
}
