/** The same hub directly, behind nginx, and behind nginx with TLS: that it works, and what it costs. */
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts, startServerProcess } from '../e2e/server-process.ts'
import type { Effort } from './codec.bench.ts'
import { buildLoad } from './fleet/load-build.ts'
import { figureOf, startLoad } from './fleet/load.ts'
import { dropScratch, scratchFolder } from './fleet/scratch.ts'
import { streamsHere } from './fleet/size.ts'
import { ACKNOWLEDGING, isAnswering, nginxHead, startOurs, type Subject } from './fleet/subject.ts'
import type { Row } from './report.ts'
import { ratioOf, spreadOf } from './rounds.ts'

/** nginx needs two files for each. */
const STREAMS = 5_000
const QUICK_STREAMS = 500
const HEARTBEAT_MS = 5_000
const HEARTBEATS = 3
const SETTLE_S = 3
const PATHS = ['directly', 'nginx', 'nginx with TLS'] as const
type Path = (typeof PATHS)[number]

interface Costs {
  readonly streamsPerS: number
  readonly kibPerStream: number
  readonly heartbeatCpuMs: number
  readonly p50Us: number
  readonly p99Us: number
}

/** Seconds of one round. */
export const TLS_ROUND_S = 110

/** Why it cannot be measured here, or undefined. */
export function tlsMissing(): string | undefined {
  const build = buildLoad()
  if (build.program === undefined) return build.reason
  if (!build.hasTls) return 'the load generator has no TLS (Debian: apt-get install libssl-dev)'
  if (spawnSync('openssl', ['version']).status !== 0) return 'there is no openssl to make a certificate with'
  return existsSync('/usr/sbin/nginx') ? undefined : 'nginx is not installed'
}

export async function tlsRows({ rounds, quick }: Effort, onRow: (row: Row) => void): Promise<Row[]> {
  const streams = quick ? QUICK_STREAMS : streamsHere(STREAMS, 2)
  const measured: Readonly<Record<Path, Costs>>[] = []
  for (let round = 0; round < rounds; round += 1) {
    const costs: Partial<Record<Path, Costs>> = {}
    for (let turn = 0; turn < PATHS.length; turn += 1) {
      const path = PATHS[(turn + round) % PATHS.length] as Path
      costs[path] = await measure(path, streams)
      console.error(`round ${round + 1} of ${rounds}: ${path}`)
    }
    measured.push(costs as Record<Path, Costs>)
  }
  const row = (name: string, field: keyof Costs): Row => {
    const figures = measured.map(
      (round) =>
        Object.fromEntries(PATHS.map((path) => [path, round[path][field]])) as Readonly<Record<Path, number>>,
    )
    return {
      suite: 'tls',
      name: `nginx with TLS beside directly, ${streams} streams: ${name}`,
      unit: '×',
      result: ratioOf(figures, 'nginx with TLS', 'directly'),
      target: undefined,
      figures: Object.fromEntries(PATHS.map((path) => [path, spreadOf(figures, path)])),
    }
  }
  const rows = [
    row('streams accepted per s', 'streamsPerS'),
    row('memory of a stream, hub and nginx, KiB', 'kibPerStream'),
    row('CPU of 1,000 heartbeats, hub and nginx, ms', 'heartbeatCpuMs'),
    row('push latency p50, µs', 'p50Us'),
    row('push latency p99, µs', 'p99Us'),
  ]
  rows.forEach(onRow)
  return rows
}

async function measure(path: Path, streams: number): Promise<Costs> {
  await using hub = await startOurs({ streams, heartbeatMs: HEARTBEAT_MS })
  await using proxy = path === 'directly' ? undefined : await startProxy(hub.url, path === 'nginx with TLS')
  await using load = startLoad([
    '--url',
    proxy?.url ?? hub.url,
    '--streams',
    String(streams),
    '--publish-url',
    hub.url,
    ...hub.loadArgs,
    ...ACKNOWLEDGING,
    ...[...hub.pids, ...(proxy?.pids ?? [])].flatMap((pid) => ['--server', String(pid)]),
  ])
  const before = await load.step('memory')
  const connected = await load.step(`connect ${streams}`)
  await load.step(`settle ${SETTLE_S}`)
  const after = await load.step('memory')
  if (figureOf(after, 'streams') !== streams) {
    throw new Error(
      `Of ${streams} streams ${figureOf(after, 'streams')} are open (${path}). See what was refused above.`,
    )
  }
  const beats = await load.step(`heartbeats ${(HEARTBEAT_MS / 1_000) * HEARTBEATS}`)
  const latency = await load.step('latency 500 500')
  if (figureOf(latency, 'undelivered') > 0) throw new Error(`Controls were lost on the way (${path}).`)
  return {
    streamsPerS: figureOf(connected, 'streamsPerS'),
    kibPerStream: (figureOf(after, 'pssKib') - figureOf(before, 'pssKib')) / streams,
    heartbeatCpuMs: (figureOf(beats, 'serverCpuS') * 1e6) / (streams * HEARTBEATS),
    p50Us: figureOf(latency, 'p50Us'),
    p99Us: figureOf(latency, 'p99Us'),
  }
}

async function startProxy(upstream: string, hasTls: boolean): Promise<Omit<Subject, 'loadArgs'>> {
  const folder = scratchFolder('nginx')
  const [port = 0, probePort = 0] = await freePorts(2)
  if (hasTls) makeCertificate(folder)
  const tls = `ssl_certificate ${folder}/certificate.pem; ssl_certificate_key ${folder}/key.pem;`
  writeFileSync(
    join(folder, 'nginx.conf'),
    `${nginxHead(folder)}
  server {
    listen 127.0.0.1:${port}${hasTls ? ' ssl' : ''} backlog=8192; ${hasTls ? tls : ''}
    location / { proxy_pass ${upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 60s; }
  }
  server { listen 127.0.0.1:${probePort}; location / { return 200; } }
}
`,
  )
  const server = await startServerProcess(
    ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'],
    () => isAnswering(`http://127.0.0.1:${probePort}/`),
  )
  return {
    pids: [server.pid],
    url: `${hasTls ? 'https' : 'http'}://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      await server.stop()
      dropScratch(folder)
    },
  }
}

function makeCertificate(folder: string): void {
  const made = spawnSync('openssl', [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=localhost',
    '-keyout',
    join(folder, 'key.pem'),
    '-out',
    join(folder, 'certificate.pem'),
  ])
  if (made.status !== 0) throw new Error(`openssl makes no certificate: ${String(made.stderr)}`)
}
