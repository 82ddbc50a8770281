/** nginx as Debian ships it, in a folder of its own: its proxy's defaults hold wherever a test does not change them. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startServerProcess, type ServerProcess } from './server-process.ts'

/** What a test puts into the configuration. */
export interface NginxSite {
  /** Directives of the server, `listen` among them. */
  readonly server: string
  /** Directives of the location that is handed on, beside `proxy_pass`. */
  readonly location?: string
  /** Where it hands everything on to. */
  readonly upstream: string
}

/** An nginx that runs. */
export interface Nginx extends ServerProcess {
  /** Reads the configuration anew, as `nginx -s reload` does; resolves once it is in force. */
  reload(site: NginxSite): Promise<void>
}

/** Starts it. @param probePort - a free port, on which it says which configuration is in force. */
export async function startNginx(folder: string, probePort: number, site: NginxSite): Promise<Nginx> {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, 'nginx.conf')
  let version = 1
  const configure = (next: NginxSite): void =>
    writeFileSync(file, configuration(folder, probePort, version, next))
  const isInForce = (): Promise<boolean> =>
    fetch(`http://127.0.0.1:${probePort}/`, { headers: { connection: 'close' } })
      .then((response) => response.text())
      .then(
        (text) => text === String(version),
        () => false,
      )
  configure(site)
  const command = ['nginx', '-p', folder, '-c', file, '-e', 'stderr', '-g', 'daemon off;']
  const server = await startServerProcess(command, isInForce)
  return {
    ...server,
    async reload(next) {
      version += 1
      configure(next)
      server.signal('SIGHUP')
      while (!(await isInForce())) await new Promise((resolve) => setTimeout(resolve, 20))
    },
    [Symbol.asyncDispose]: () => server.stop(),
  }
}

/** The lines of Debian's own nginx.conf, with every path in `folder`. */
function configuration(folder: string, probePort: number, version: number, site: NginxSite): string {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'scgi', 'uwsgi']
  return `user root;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr;
events { worker_connections 768; }
http {
  sendfile on;
  tcp_nopush on;
  types_hash_max_size 2048;
  default_type application/octet-stream;
  gzip on;
  access_log ${folder}/access.log;
${kinds.map((kind) => `  ${kind}_temp_path ${folder}/${kind};`).join('\n')}
  server {
    ${site.server}
    location / {
      proxy_pass ${site.upstream};
      ${site.location ?? ''}
    }
  }
  server {
    listen 127.0.0.1:${probePort};
    location / { return 200 "${version}"; }
  }
}
`
}
