/** Network namespaces of Linux: a hub in one, each agent in another, a pair of virtual interfaces between them. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startJsonProcess } from './json-process.ts'
import type { Send } from './network-hub.ts'

const RELAY = fileURLToPath(new URL('./fixtures/fetch-relay.ts', import.meta.url))

/** A request for the relay, and its answer. */
export interface ToSend {
  readonly id: number
  readonly url: string
  readonly init: Parameters<Send>[1]
}
export interface Answered {
  readonly id: number
  readonly status: number
  readonly text: string
}

/** A namespace. Disposing of it removes it with all that is in it but for processes. */
export interface Namespace extends Disposable {
  readonly name: string
  /** The command that runs another one in it. */
  readonly within: readonly string[]
  /** Runs a program in it to its end; returns what it printed. @throws if it fails */
  run(command: readonly string[], input?: string): string
}

/** An agent's namespace and its link to the hub's; the addresses end in .1 at the hub and .2 at the agent. */
export interface Link extends Namespace {
  readonly hubAddress: string
  readonly hubAddress6: string
  readonly agentAddress: string
  /** The same network, with another last number. */
  address(last: number): string
  /** The name of the hub's end. */
  readonly hubInterface: string
  /**
   * Drops what matches each rule, as nft writes them, in that direction as the agent sees it, instead of earlier rules.
   * A rule may remember ports in the set `@ports`.
   */
  drop(rules: { readonly coming?: readonly string[]; readonly going?: readonly string[] }): void
  dropNothing(): void
}

/** Why namespaces cannot be had here, or undefined. */
export function namespacesForbidden(): string | undefined {
  try {
    using hub = createNamespace('probe-h')
    using link = createLink(hub, 250)
    link.drop({ coming: ['tcp dport 9'] })
    return undefined
  } catch (error) {
    return String(error).split('\n').slice(0, 2).join(' ')
  } finally {
    removeNamespaces()
  }
}

/** Why packets cannot be delayed here, or undefined. */
export function delayForbidden(): string | undefined {
  try {
    using namespace = createNamespace('probe-d')
    namespace.run(['tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'netem', 'delay', '1ms'])
    return undefined
  } catch (error) {
    return String(error).split('\n').slice(0, 2).join(' ')
  }
}

const present = new Set<Namespace>()
const FILES = '/etc/netns'
let hasMadeFiles = false

/** Removes those that are left: a test that ran out of time removes none. */
export function removeNamespaces(): void {
  for (const namespace of present) namespace[Symbol.dispose]()
  if (hasMadeFiles) rmSync(FILES, { recursive: true, force: true })
  hasMadeFiles = false
}

/** Makes one, with its loopback. Its name has the number of this process, so that runs beside each other do not meet. */
export function createNamespace(suffix: string): Namespace {
  const name = `downlink-${process.pid}-${suffix}`
  const within = ['ip', 'netns', 'exec', name]
  const run = (command: readonly string[], input = ''): string => {
    const [program = '', ...args] = [...within, ...command]
    return execFileSync(program, args, { input, encoding: 'utf8', stdio: 'pipe' })
  }
  execFileSync('ip', ['netns', 'add', name], { stdio: 'pipe' })
  const namespace: Namespace = {
    name,
    within,
    run,
    [Symbol.dispose]() {
      if (!present.delete(namespace)) return
      execFileSync('ip', ['netns', 'del', name], { stdio: 'pipe' })
      rmSync(join(FILES, name), { recursive: true, force: true })
    },
  }
  present.add(namespace)
  run(['ip', 'link', 'set', 'lo', 'up'])
  return namespace
}

/** Links a new namespace with `hub`. @param number - from 1 to 250, another one for each link */
export function createLink(hub: Namespace, number: number): Link {
  const namespace = createNamespace(`a${number}`)
  const hubInterface = `agent${number}`
  const address = (last: number): string => `10.77.${number}.${last}`
  const address6 = (last: number): string => `fd77:${number}::${last}`
  namespace.run([
    'ip',
    'link',
    'add',
    'eth0',
    'type',
    'veth',
    'peer',
    'name',
    hubInterface,
    'netns',
    hub.name,
  ])
  for (const [one, device, last] of [
    [hub, hubInterface, 1],
    [namespace, 'eth0', 2],
  ] as const) {
    one.run(['ip', 'address', 'add', `${address(last)}/24`, 'dev', device])
    one.run(['ip', 'address', 'add', `${address6(last)}/64`, 'dev', device, 'nodad'])
    one.run(['ip', 'link', 'set', device, 'up'])
  }
  // Of its own, so that a test may cut off the hub and leave the name server.
  hub.run(['ip', 'address', 'add', `${address(53)}/24`, 'dev', hubInterface])
  const files = join(FILES, namespace.name)
  if (mkdirSync(files, { recursive: true }) === FILES) hasMadeFiles = true
  writeFileSync(join(files, 'resolv.conf'), `nameserver ${address(53)}\n`)
  const dropNothing = (): void => void namespace.run(['nft', 'flush', 'ruleset'])
  return {
    ...namespace,
    hubInterface,
    address,
    hubAddress: address(1),
    hubAddress6: address6(1),
    agentAddress: address(2),
    drop({ coming = [], going = [] }) {
      const chain = (hook: string, rules: readonly string[]): string =>
        `chain ${hook} {\ntype filter hook ${hook} priority 0;\n${rules.map((rule) => `${rule} drop\n`).join('')}}`
      const ports = 'set ports {\ntype inet_service; flags dynamic; timeout 1m\n}'
      const table = `table inet drops {\n${ports}\n${chain('input', coming)}\n${chain('output', going)}\n}\n`
      namespace.run(['nft', '-f', '-'], `flush ruleset\n${table}`)
    },
    dropNothing,
  }
}

/** A way to send an operator's requests from within `namespace`. */
export function sendFrom(namespace: Namespace): { readonly send: Send } & AsyncDisposable {
  const command = [...namespace.within, process.execPath, '--conditions=@downlink/source', RELAY]
  const relay = startJsonProcess<Answered>(command)
  let count = 0
  return {
    async send(url, init) {
      const id = (count += 1)
      relay.write(JSON.stringify({ id, url, init } satisfies ToSend))
      const { status, text } = await relay.until(`${init.method} ${url} is answered`, (lines) =>
        lines.find((answered) => answered.id === id),
      )
      return { status, text }
    },
    [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
  }
}
