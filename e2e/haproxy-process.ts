/** HAProxy before a hub, in a folder of its own, with short time limits. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { startServerProcess, type ServerProcess } from './server-process.ts'

/** What it is told. */
export interface HaproxySite {
  readonly port: number
  readonly hubPort: number
  /** How long either side may say nothing, such as `3s`. */
  readonly idle: string
}

/** Starts it, with a master process, so that SIGUSR2 reloads it; its workers of before then end within a second. */
export async function startHaproxy(folder: string, site: HaproxySite): Promise<ServerProcess> {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'haproxy.cfg')
  writeFileSync(file, configuration(site))
  return startServerProcess(['haproxy', '-W', '-db', '-f', file], () => isListening(site.port))
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function configuration({ port, hubPort, idle }: HaproxySite): string {
  return `global
  maxconn 200
  hard-stop-after 1s
defaults
  mode http
  timeout connect 1s
  timeout client ${idle}
  timeout server ${idle}
  timeout tunnel ${idle}
frontend front
  bind 127.0.0.1:${port}
  default_backend hubs
backend hubs
  server hub 127.0.0.1:${hubPort}
`
}
