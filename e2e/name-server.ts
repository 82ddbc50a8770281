/** dnsmasq as a name server whose answers a test changes. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Namespace } from './namespaces.ts'
import { startServerProcess } from './server-process.ts'

/** A name server that runs. */
export interface NameServer extends AsyncDisposable {
  /** From now on `host` has these addresses, and no others. */
  answer(host: string, addresses: readonly string[]): Promise<void>
}

const OPTIONS = [
  '--keep-in-foreground',
  '--conf-file=/dev/null',
  '--user=root',
  '--pid-file',
  '--no-resolv',
  '--no-hosts',
  '--log-facility=-',
]

/** Starts it on all addresses of `namespace`; it knows nothing but what it is told. */
export async function startNameServer(namespace: Namespace, folder: string): Promise<NameServer> {
  const file = join(folder, 'hosts')
  const hosts = new Map<string, readonly string[]>([['ready.test', ['127.0.0.1']]])
  const write = (): void =>
    writeFileSync(
      file,
      [...hosts].flatMap(([host, addresses]) => addresses.map((one) => `${one} ${host}\n`)).join(''),
    )
  write()
  const server = await startServerProcess(
    [...namespace.within, 'dnsmasq', ...OPTIONS, `--addn-hosts=${file}`],
    (text) => timesRead(text) > 0,
  )
  return {
    async answer(host, addresses) {
      hosts.set(host, addresses)
      write()
      const before = timesRead(server.text())
      server.signal('SIGHUP')
      while (timesRead(server.text()) === before) await new Promise((resolve) => setTimeout(resolve, 10))
    },
    [Symbol.asyncDispose]: () => server.stop(),
  }
}

function timesRead(text: string): number {
  return text.split(/: read /).length - 1
}
