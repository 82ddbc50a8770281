/** Compiles the load generator where a C compiler is, with TLS where the headers of OpenSSL are. */
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** A load generator that can be started, or why there is none. */
export type LoadBuild =
  | { readonly program: string; readonly hasTls: boolean }
  | { readonly program?: never; readonly reason: string }

const SOURCE = fileURLToPath(new URL('../load/', import.meta.url))
const BUILD = fileURLToPath(new URL('../.build/', import.meta.url))
let built: LoadBuild | undefined

/** Builds it once per run, unless what is there is newer than its sources. */
export function buildLoad(): LoadBuild {
  built ??= build()
  return built
}

function build(): LoadBuild {
  if (process.platform !== 'linux') return { reason: 'the load generator needs Linux (epoll and /proc)' }
  if (spawnSync('gcc', ['--version']).status !== 0) {
    return {
      reason: 'there is no gcc to compile the load generator with (Debian: apt-get install gcc libc6-dev)',
    }
  }
  mkdirSync(BUILD, { recursive: true })
  const withTls = compile('load-tls', ['-DWITH_TLS'], ['-lssl', '-lcrypto'])
  if (withTls.program !== undefined) return { program: withTls.program, hasTls: true }
  const plain = compile('load', [], [])
  if (plain.program !== undefined) return { program: plain.program, hasTls: false }
  return { reason: `the load generator does not compile: ${plain.output}` }
}

function compile(
  name: string,
  flags: readonly string[],
  libraries: readonly string[],
): { program?: string; output: string } {
  const program = `${BUILD}${name}`
  const sources = globSync('*.{c,h}', { cwd: SOURCE }).map((file) => `${SOURCE}${file}`)
  const newestMs = Math.max(...sources.map((file) => statSync(file).mtimeMs))
  if (existsSync(program) && statSync(program).mtimeMs > newestMs) return { program, output: '' }
  const files = sources.filter((file) => file.endsWith('.c'))
  const args = ['-O2', '-Wall', '-Wextra', ...flags, '-o', program, ...files, ...libraries, '-lm']
  const { status, stderr } = spawnSync('gcc', args, { encoding: 'utf8' })
  return status === 0 ? { program, output: '' } : { output: stderr }
}
