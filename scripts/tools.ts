/** The programs beyond npm that tests start, and how they get onto the machine. */

import { accessSync, constants, existsSync, globSync } from 'node:fs'
import { delimiter, join } from 'node:path'

import { ROOT, runCommand } from './run-command.ts'

/** A program that some tests start. */
export interface Tool {
  readonly name: string
  readonly aptPackage: string
  /** Globs of the test files that need it; they are skipped where it is missing. */
  readonly tests: readonly string[]
}

/** Add a line for a new tool together with its first test. */
export const TOOLS: readonly Tool[] = [
  { name: 'ps', aptPackage: 'procps', tests: ['packages/cli/src/**/*.fault.test.ts', 'e2e/**/*.test.ts'] },
  { name: 'tar', aptPackage: 'tar', tests: ['packages/cli/src/**/*.fault.test.ts', 'e2e/**/*.test.ts'] },
  { name: 'gzip', aptPackage: 'gzip', tests: ['packages/cli/src/**/*.fault.test.ts', 'e2e/**/*.test.ts'] },
  { name: 'slowhttptest', aptPackage: 'slowhttptest', tests: ['e2e/slowhttptest.test.ts'] },
  {
    name: 'openssl',
    aptPackage: 'openssl',
    tests: ['packages/agent/src/http/{tls,proxy}.fault.test.ts', 'e2e/{nginx,certificates}.network.test.ts'],
  },
  { name: 'nginx', aptPackage: 'nginx-light', tests: ['e2e/{nginx,certificates}.network.test.ts'] },
  { name: 'haproxy', aptPackage: 'haproxy', tests: ['e2e/haproxy.network.test.ts'] },
  { name: 'faketime', aptPackage: 'faketime', tests: ['e2e/{suspend,wall-clock}.network.test.ts'] },
  { name: 'strace', aptPackage: 'strace', tests: ['e2e/disk-faults.test.ts'] },
  { name: 'mkfs.ext4', aptPackage: 'e2fsprogs', tests: ['e2e/disk-faults.test.ts'] },
  { name: 'ip', aptPackage: 'iproute2', tests: ['e2e/netns.network.test.ts'] },
  { name: 'nft', aptPackage: 'nftables', tests: ['e2e/netns.network.test.ts'] },
  { name: 'dnsmasq', aptPackage: 'dnsmasq-base', tests: ['e2e/netns.network.test.ts'] },
  { name: 'curl', aptPackage: 'curl', tests: ['e2e/curl.test.ts'] },
]

/** Those of `tools` that are not in any folder of `path`. */
export function missingTools(tools: readonly Tool[], path: string): Tool[] {
  return tools.filter(({ name }) => !path.split(delimiter).some((folder) => isExecutable(join(folder, name))))
}

/**
 * Installs what is missing where that is possible, as root on Debian; elsewhere prints what is missing, what
 * would install it and which tests are skipped.
 * @returns the tools that are still missing
 */
export async function provideTools(tools: readonly Tool[]): Promise<Tool[]> {
  let missing = missingTools(tools, process.env.PATH ?? '')
  if (missing.length > 0 && process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    await installByApt(missing)
    missing = missingTools(tools, process.env.PATH ?? '')
  }
  for (const tool of missing) {
    const skipped = testsNeeding([tool])
    console.log(`${tool.name} is missing: install the package ${tool.aptPackage}. Test files that need it:`)
    for (const file of skipped) console.log(`  skipped: ${file}`)
  }
  return missing
}

/** The test files that need any of `tools`. */
export function testsNeeding(tools: readonly Tool[]): string[] {
  return tools.length === 0
    ? []
    : globSync([...new Set(tools.flatMap(({ tests }) => tests))], { cwd: ROOT }).toSorted()
}

async function installByApt(tools: readonly Tool[]): Promise<void> {
  const packages = tools.map(({ aptPackage }) => aptPackage)
  console.log(`Installing ${packages.join(', ')} by apt-get.`)
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  const update = await runCommand('apt-get', ['update', '-q'], { env })
  const install = await runCommand(
    'apt-get',
    ['install', '-y', '-q', '--no-install-recommends', ...packages],
    { env },
  )
  if (!install.ok) console.log(`${update.ok ? '' : update.output}${install.output}`)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
