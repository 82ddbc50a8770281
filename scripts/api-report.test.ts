/** The API report on declarations as the compiler emits them. */
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { apiReport, parseDeclarations } from './api-report.ts'

function packageOf(files: Readonly<Record<string, string>>, entries: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-api-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const exports = Object.fromEntries([
    ...entries.map((entry) => [entry, { types: `./dist/${entry === '.' ? 'index' : entry.slice(2)}.d.ts` }]),
    ['./package.json', './package.json'],
  ]) as object
  const all = { 'package.json': JSON.stringify({ name: '@acme/box', exports }), ...files }
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return folder
}

test('given entry points > each name stands with its declaration, and with what that mentions', () => {
  const folder = packageOf(
    {
      'dist/index.d.ts': `/** About. */
export { open, Lid as Cover } from './box.ts';
export type { Json } from '@acme/json';
export * as limits from './limits.ts';
`,
      'dist/box.d.ts': `import type { Hinge } from './hinge.ts';
/** Opens; say \`}\` when done. */
export declare function open(how: Key): void;
export declare function open(how: Key, twice: boolean): void;
export declare class Lid {
    #private;
    /** Where it turns. */
    readonly hinge: Hinge;
    /** For tests. @internal */
    readonly secretMember: string;
}
interface Key {
    readonly teeth: number;
}
interface Unrelated {
    readonly nothing: true;
}
export {};
`,
      'dist/hinge.d.ts': `export type Hinge = {
    readonly side: 'left';
} | {
    readonly side: 'right';
};
`,
      'dist/limits.d.ts': `export declare const LIDS_MAX = 3;\n`,
      'dist/internal.d.ts': `export declare const UNSTABLE = 1;\n`,
    },
    ['.', './internal'],
  )
  expect(apiReport(folder)).toBe(`The public surface of @acme/box, written by npm run api.

## @acme/box

Cover: Lid
class Lid {
    #private;
    readonly hinge: Hinge;
}
Json: @acme/json Json
limits.LIDS_MAX
function open(how: Key): void;
function open(how: Key, twice: boolean): void;

# Mentioned, not exported

interface Key {
    readonly teeth: number;
}
type Hinge = {
    readonly side: 'left';
} | {
    readonly side: 'right';
};
`)
})

test('given a statement over several lines > it is one', () => {
  const { declared, exported } = parseDeclarations(`export declare const codes: {
    readonly a: {
        readonly status: 400;
    };
};
export type Code = keyof typeof codes;
`)
  expect([...declared.keys()]).toEqual(['codes', 'Code'])
  expect([...exported.keys()]).toEqual(['codes', 'Code'])
})
