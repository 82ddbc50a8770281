/**
 * The public surface of every package as text, from the built declarations: a change of it is seen in a review, and
 * `npm run check` fails until `npm run api` has written it down. Entry points named `./internal` promise nothing.
 *
 * api-extractor 7 works on what TypeScript 7 emits, but takes 5 s of CPU for each entry point and 43 packages more.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

import './node-version.js'
import { ROOT } from './run-command.ts'

export const API_REMEDY =
  'If the change is meant, run npm run api, and say in CHANGELOG.md what adopters must do.'

/** Folders of the packages that have adopters' imports. */
const PACKAGES = ['protocol', 'agent', 'hub', 'client'] as const
const FOLDER = 'etc'

/** What a declaration file says at its top level. */
export interface DeclarationModule {
  /** By name: its declarations, in order; several for an overloaded function. */
  readonly declared: ReadonlyMap<string, readonly string[]>
  /** Names that come from another module, as `{ local: [module, its name there] }`; `*` for the whole of it. */
  readonly imported: ReadonlyMap<string, readonly [string, string]>
  readonly exported: ReadonlyMap<string, readonly [string, string]>
}

/** The part of package.json that matters here. */
interface Manifest {
  readonly name: string
  readonly exports: Readonly<Record<string, string | { readonly types: string }>>
}

/** Reads one emitted declaration file. */
export function parseDeclarations(text: string): DeclarationModule {
  const declared = new Map<string, string[]>()
  const imported = new Map<string, readonly [string, string]>()
  const exported = new Map<string, readonly [string, string]>()
  for (const statement of statementsOf(text)) {
    const clause = /^(import|export) (?:type )?(\*|\{[\s\S]*\})(?: as (\w+))?(?: from '([^']+)')?;$/.exec(
      statement,
    )
    if (clause !== null) {
      const [, kind, names = '', whole, module = ''] = clause
      const target = kind === 'import' ? imported : exported
      if (whole !== undefined) target.set(whole, [module, '*'])
      for (const name of names.matchAll(/(\w+)(?: as (\w+))?/g)) {
        const [, there = '', here = there] = name
        target.set(here, [module, there])
      }
      continue
    }
    const named =
      /^(?:export )?(?:declare )?(?:abstract )?(?:function|const|let|class|interface|type|namespace) (\w+)/
    const name = named.exec(statement)?.[1]
    if (name === undefined) continue
    declared.set(name, [...(declared.get(name) ?? []), statement.replace(/^(?:export )?(?:declare )?/, '')])
    if (statement.startsWith('export ')) exported.set(name, ['', name])
  }
  return { declared, imported, exported }
}

/** The surface of one package: what its entry points export, and what that mentions. */
export function apiReport(folder: string): string {
  const { name, exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
  const entries = Object.entries(exports).flatMap(([path, target]) =>
    typeof target === 'string' || path === './internal' ? [] : [{ path, file: join(folder, target.types) }],
  )
  const sections = entries.map(({ path, file }) => `## ${name}${path.slice(1)}\n\n${entryReport(file)}`)
  return `The public surface of ${name}, written by npm run api.\n\n${sections.join('\n')}`
}

/** What differs between the packages and their committed reports. */
export function apiFaultsOf(root: string): readonly string[] {
  return PACKAGES.flatMap((folder) => {
    const path = join(FOLDER, `${folder}.api.txt`)
    const now = apiReport(join(root, 'packages', folder))
    const before = existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : ''
    return now === before ? [] : [`${path} is not what the package exports now:`, ...differences(before, now)]
  })
}

function entryReport(file: string): string {
  const modules = new Map<string, DeclarationModule>()
  const read = (path: string): DeclarationModule => {
    const known = modules.get(path) ?? parseDeclarations(readFileSync(path, 'utf8'))
    modules.set(path, known)
    return known
  }
  const lines: string[] = []
  const seen = new Set<string>()
  const mentioned: (readonly [string, string])[] = []

  /** Writes down `name` of the module at `path`, wherever it is declared; `shown` is what adopters call it. */
  const write = (path: string, name: string, shown: string): void => {
    const { declared, imported, exported } = read(path)
    const statements = declared.get(name)
    if (statements === undefined) {
      const [from, there] = exported.get(name) ?? imported.get(name) ?? ['', name]
      if (!from.startsWith('.')) lines.push(`${shown}: ${from} ${there}`)
      else if (there !== '*') write(fileOf(path, from), there, shown)
      // Values of constants are no promise; that there is one of this name is.
      else
        lines.push(
          ...[...read(fileOf(path, from)).exported.keys()].map((key) => `${shown}.${key}`).toSorted(),
        )
      return
    }
    seen.add(`${path} ${name}`)
    if (shown !== name) lines.push(`${shown}: ${name}`)
    lines.push(...statements)
    for (const [word] of statements.join('\n').matchAll(/\b[A-Z]\w*\b/g)) mentioned.push([path, word])
  }

  const { exported } = read(file)
  for (const name of [...exported.keys()].toSorted()) write(file, name, name)
  const hidden: string[] = []
  for (const [path, word] of mentioned) {
    const [at, name] = declarationOf(read, path, word)
    if (at === '' || seen.has(`${at} ${name}`) || !read(at).declared.has(name)) continue
    seen.add(`${at} ${name}`)
    const statements = read(at).declared.get(name) ?? []
    hidden.push(...statements)
    for (const [next] of statements.join('\n').matchAll(/\b[A-Z]\w*\b/g)) mentioned.push([at, next])
  }
  const rest = hidden.length === 0 ? '' : `\n# Mentioned, not exported\n\n${hidden.toSorted().join('\n')}\n`
  return `${lines.join('\n')}\n${rest}`
}

/** Where a name that a declaration mentions is declared within the package; `['', '']` for names of elsewhere. */
function declarationOf(
  read: (path: string) => DeclarationModule,
  path: string,
  name: string,
): readonly [string, string] {
  const { declared, imported, exported } = read(path)
  if (declared.has(name)) return [path, name]
  const [from, there] = imported.get(name) ?? exported.get(name) ?? ['', '']
  return from.startsWith('.') ? declarationOf(read, fileOf(path, from), there) : ['', '']
}

function fileOf(from: string, module: string): string {
  return join(dirname(from), module.replace(/\.[jt]s$/, '.d.ts'))
}

/** A member of one line that is marked as internal; it may change at will. */
const INTERNAL_MEMBER = /[ \t]*\/\*\*(?:(?!\*\/)[\s\S])*@internal(?:(?!\*\/)[\s\S])*\*\/\n[^\n]*;\n/g

/** The statements of an emitted file, without comments; members are indented, so a statement ends at its margin. */
function statementsOf(text: string): readonly string[] {
  const shown = text.replace(INTERNAL_MEMBER, '')
  const code = shown.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, (found) => (found.includes('\n') ? '\n' : ''))
  const statements: string[] = []
  let lines: string[] = []
  for (const line of code.split('\n')) {
    if (line.trim() === '') continue
    lines.push(line.trimEnd())
    if (!/^(?:\S.*;|\S.*\}|\};?|\} & \{?.*;)$/.test(line.trimEnd())) continue
    statements.push(lines.join('\n'))
    lines = []
  }
  return statements
}

function differences(before: string, now: string): readonly string[] {
  const [old, current] = [before.split('\n'), now.split('\n')]
  const gone = old.filter((line) => !current.includes(line)).map((line) => `  - ${line}`)
  const come = current.filter((line) => !old.includes(line)).map((line) => `  + ${line}`)
  return [...gone, ...come].slice(0, 40)
}

if (import.meta.main) {
  mkdirSync(join(ROOT, FOLDER), { recursive: true })
  for (const folder of PACKAGES) {
    writeFileSync(join(ROOT, FOLDER, `${folder}.api.txt`), apiReport(join(ROOT, 'packages', folder)))
  }
}
