/** Checks what the linter cannot: star exports (`export * as name` is a named one), and reading the clock through `Date` without a time. */

import { globSync, readFileSync } from 'node:fs'
import { join, matchesGlob } from 'node:path'

/** A line of a source file that breaks a rule. */
export interface SourceFault {
  /** Counted from 1. */
  readonly line: number
  readonly rule: string
  readonly message: string
}

interface TextRule {
  readonly rule: string
  readonly pattern: RegExp
  readonly message: string
  readonly files: string
  readonly except: readonly string[]
}

const RULES: readonly TextRule[] = [
  {
    rule: 'downlink/no-star-export',
    pattern: /\bexport\s+(?:type\s+)?\*(?!\s*as\b)/g,
    message: 'Export each name, so that the public surface is seen in one place.',
    files: '**/*.ts',
    except: [],
  },
  {
    rule: 'downlink/no-current-date',
    pattern: /\bnew\s+Date\b(?!\s*\(\s*[^\s)])|(?<![.\w]|new\s+)Date\(\s*\)/g,
    message: 'Read the handed-in Clock (wallMs) and pass it: new Date(wallMs).',
    files: 'packages/{protocol,agent,hub,client,cli}/src/**/*.ts',
    except: ['**/*.test.ts', 'packages/protocol/src/clock.ts'],
  },
]

/** What is wrong with the source `text` of the file at `path`, which is relative to the workspace. */
export function sourceFaults(path: string, text: string): SourceFault[] {
  const code = withoutCommentsAndStrings(text)
  return RULES.filter(
    ({ files, except }) => matchesGlob(path, files) && !except.some((glob) => matchesGlob(path, glob)),
  )
    .flatMap(({ rule, pattern, message }) =>
      Array.from(code.matchAll(pattern), ({ index }) => ({ line: lineAt(code, index), rule, message })),
    )
    .toSorted((a, b) => a.line - b.line)
}

export function sourceFaultsOf(root: string): string[] {
  const paths = globSync(['packages/*/src/**/*.ts', 'e2e/**/*.ts', 'scripts/*.ts', 'examples/*/*.ts'], {
    cwd: root,
  }).toSorted()
  return paths.flatMap((path) =>
    sourceFaults(path, readFileSync(join(root, path), 'utf8')).map(
      ({ line, rule, message }) => `${path}:${line}: ${message} (${rule})`,
    ),
  )
}

/** Comments and quoted strings become spaces, so that lines stay where they are; code in template strings stays. */
function withoutCommentsAndStrings(text: string): string {
  const commentOrString = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g
  return text.replace(commentOrString, (found) => found.replace(/[^\n]/g, ' '))
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}
