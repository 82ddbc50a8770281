/** Checks what would be published, as packed: publint, are-the-types-wrong, and the limits of size and dependencies. */

import { globSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import './node-version.js'
import type { Counts } from './counts.ts'
import { formatCounts, NO_TESTS } from './counts.ts'
import { ROOT, runCommand } from './run-command.ts'
import { runSteps } from './run-steps.ts'
import type { Step } from './run-steps.ts'

/** What a package may cost whoever installs it. Raise a limit only in the commit that says why it is worth it. */
interface PackageLimits {
  readonly folder: string
  /** Of the tarball: half of it is sources and source maps, so that a stack trace leads to what was written. */
  readonly packedBytesMax: number
  /** Installed with it, the packages of this workspace included; each is one more to trust. */
  readonly dependenciesMax: number
}

export const PACKAGES: readonly PackageLimits[] = [
  { folder: 'protocol', packedBytesMax: 130_000, dependenciesMax: 0 },
  { folder: 'agent', packedBytesMax: 450_000, dependenciesMax: 2 },
  { folder: 'hub', packedBytesMax: 450_000, dependenciesMax: 60 },
  { folder: 'client', packedBytesMax: 60_000, dependenciesMax: 1 },
  { folder: 'cli', packedBytesMax: 150_000, dependenciesMax: 64 },
]

/** What npm says of a tarball. */
export interface Packed {
  readonly name: string
  readonly filename: string
  readonly size: number
  readonly entryCount: number
  readonly files: readonly { readonly path: string }[]
}

interface LockEntry {
  readonly link?: boolean
  readonly resolved?: string
  readonly dependencies?: Readonly<Record<string, string>>
}

/** The packages that come with the one at `path` of the lock's `packages`, by their places; optional ones left out. */
export function installedWith(
  packages: Readonly<Record<string, LockEntry>>,
  path: string,
): ReadonlySet<string> {
  const found = new Set<string>()
  const waiting = [path]
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    for (const name of Object.keys(packages[at]?.dependencies ?? {})) {
      const place = placeOf(packages, at, name)
      if (place === undefined || found.has(place) || place === path) continue
      found.add(place)
      waiting.push(place)
    }
  }
  return found
}

/** Where Node finds `name` from `at`: in node_modules beside it, then in each folder above. */
function placeOf(
  packages: Readonly<Record<string, LockEntry>>,
  at: string,
  name: string,
): string | undefined {
  for (let folder = at; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
    const entry = packages[join(folder, 'node_modules', name)]
    if (entry !== undefined) return entry.link === true ? entry.resolved : join(folder, 'node_modules', name)
    if (folder === '') return undefined
  }
}

/** What a tarball holds that it should not, or lacks. */
export function contentFaults(name: string, paths: readonly string[]): readonly string[] {
  const all = new Set(paths)
  const unwanted = paths.filter((path) => /\.test\.[jt]s$|\.tsbuildinfo$|(?:^|\/)node_modules\//.test(path))
  const stale = paths.filter((path) => {
    const source = /^dist\/(.*)\.js$/.exec(path)?.[1]
    return source !== undefined && !all.has(`src/${source}.ts`)
  })
  const missing = ['README.md', 'LICENSE', 'package.json'].filter((path) => !all.has(path))
  return [
    ...unwanted.map((path) => `${name}: packs ${path}; exclude it in "files"`),
    ...stale.map((path) => `${name}: packs ${path}, whose source is gone; remove dist and build again`),
    ...missing.map((path) => `${name}: lacks ${path}`),
  ]
}

function limitFaults({ folder, packedBytesMax, dependenciesMax }: PackageLimits, packed: Packed): string[] {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockEntry>
  }
  const dependencies = installedWith(lock.packages, `packages/${folder}`).size
  console.log(
    `       ${packed.name}: ${packed.size} bytes packed (limit ${packedBytesMax}), ${dependencies} dependencies (limit ${dependenciesMax})`,
  )
  return [
    ...(packed.size > packedBytesMax
      ? [`${packed.name}: ${packed.size} bytes packed, and ${packedBytesMax} are the limit`]
      : []),
    ...(dependencies > dependenciesMax
      ? [`${packed.name}: ${dependencies} dependencies, and ${dependenciesMax} are the limit`]
      : []),
  ]
}

/** Packs and checks every package; a check that fails counts as a failed test. */
export async function checkPackages(): Promise<Counts> {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-packages-'))
  try {
    const { tarballs, output } = await packAll(folder)
    if (tarballs === undefined) {
      console.log(`${output}\n→ Run npm run build and npm pack to see why.\n`)
      return { ...NO_TESTS, failed: 1, failures: ['npm pack'] }
    }
    const steps = PACKAGES.flatMap((limits, index) => stepsOf(limits, tarballs[index], folder))
    const failed = await runSteps(steps, 2)
    return { ...NO_TESTS, passed: steps.length - failed.length, failed: failed.length, failures: failed }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Builds and packs every package into `folder`, in the order of {@link PACKAGES}; `output` says why if that fails. */
export async function packAll(
  folder: string,
): Promise<{ readonly tarballs: readonly Packed[] | undefined; readonly output: string }> {
  const workspaces = PACKAGES.flatMap((each) => ['-w', `packages/${each.folder}`])
  sweep()
  const built = await runCommand('tsc', ['-b'])
  const { ok, output } = await runCommand('npm', [
    'pack',
    '--json',
    '--pack-destination',
    folder,
    ...workspaces,
  ])
  if (!built.ok || !ok || globSync('*.tgz', { cwd: folder }).length !== PACKAGES.length) {
    return { tarballs: undefined, output: `${built.output}${output}` }
  }
  // npm 12 gives an object by name, earlier ones a list.
  const json = JSON.parse(output.slice(output.search(/[[{]/))) as readonly Packed[] | Record<string, Packed>
  return { tarballs: Object.values(json), output }
}

/** The compiler leaves what it made of a source that is gone. */
function sweep(): void {
  for (const path of globSync('packages/*/dist/**/*.{js,d.ts}', { cwd: ROOT })) {
    const source = path.replace('/dist/', '/src/').replace(/(?:\.js|\.d\.ts)$/, '.ts')
    if (existsSync(join(ROOT, source))) continue
    for (const file of [path, `${path}.map`]) rmSync(join(ROOT, file), { force: true })
  }
}

function stepsOf(limits: PackageLimits, packed: Packed | undefined, folder: string): readonly Step[] {
  const manifest = JSON.parse(
    readFileSync(join(ROOT, 'packages', limits.folder, 'package.json'), 'utf8'),
  ) as { name: string; exports: Record<string, unknown> }
  if (packed?.name !== manifest.name) throw new Error('npm pack changed the order; look packages up by name.')
  const tarball = join(folder, packed.filename)
  if (!existsSync(tarball)) throw new Error(`npm pack left no ${packed.filename}.`)
  const faults = [
    ...contentFaults(
      packed.name,
      packed.files.map(({ path }) => path),
    ),
    ...limitFaults(limits, packed),
  ]
  return [
    {
      name: `${packed.name} content`,
      remedy: 'See scripts/check-packages.ts for the limits and why they are there.',
      run: () => ({ ok: faults.length === 0, output: faults.join('\n') }),
    },
    {
      name: `${packed.name} publint`,
      remedy: 'Each message has its rule at publint.dev/rules.',
      run: () => runCommand('publint', ['run', tarball, '--strict']),
    },
    {
      name: `${packed.name} attw`,
      remedy: 'Each problem is explained at arethetypeswrong.github.io.',
      run: () => runCommand('attw', [tarball, '--profile', 'esm-only', '--no-emoji']),
    },
  ]
}

if (import.meta.main) {
  const counts = await checkPackages()
  console.log(formatCounts(counts))
  if (counts.failed > 0) process.exitCode = 1
}
