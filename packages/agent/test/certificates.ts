/** Certificates that are made for one run of the tests, by openssl. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A certificate and its key, PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** An authority of its own, whom nobody trusts unless told to. */
export interface Authority {
  readonly ca: string
  /** @param days - until it expires; it has expired already if that is negative. */
  issue(subjectAltName: string, days?: number): Certificate
  /** One that no authority stands for. */
  issueItself(subjectAltName: string): Certificate
  [Symbol.dispose](): void
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export function createAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-certificates-'))
  const at = (name: string): string => join(folder, name)
  const read = (name: string): string => readFileSync(at(name), 'utf8')
  const openssl = (...args: string[]): unknown => execFileSync('openssl', args, { stdio: 'pipe' })
  openssl(
    'req',
    '-x509',
    ...NEW_KEY,
    '-subj',
    '/CN=test',
    '-days',
    '2',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
  )
  let count = 0
  return {
    ca: read('ca.pem'),
    issue(subjectAltName, days = 2) {
      const name = `issued-${(count += 1)}`
      const [key, csr, cert, extensions] = ['key', 'csr', 'pem', 'ext'].map(
        (suffix) => `${name}.${suffix}`,
      ) as [string, string, string, string]
      writeFileSync(at(extensions), `subjectAltName=${subjectAltName}\n`)
      openssl('req', '-new', ...NEW_KEY, '-subj', '/CN=issued', '-keyout', at(key), '-out', at(csr))
      const signer = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial']
      const issued = ['-days', String(days), '-extfile', at(extensions), '-out', at(cert)]
      openssl('x509', '-req', '-in', at(csr), ...signer, ...issued)
      return { cert: read(cert), key: read(key) }
    },
    issueItself(subjectAltName) {
      const name = `itself-${(count += 1)}`
      const [key, cert] = [at(`${name}.key`), at(`${name}.pem`)]
      const about = ['-subj', '/CN=itself', '-addext', `subjectAltName=${subjectAltName}`, '-days', '2']
      openssl('req', '-x509', ...NEW_KEY, ...about, '-keyout', key, '-out', cert)
      return { cert: read(`${name}.pem`), key: read(`${name}.key`) }
    },
    [Symbol.dispose]() {
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
