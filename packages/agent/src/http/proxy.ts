/** Decides through which proxy, if any, a hub is reached. */
import { DownlinkError } from '@downlink/protocol'

/** The part of the environment that names proxies. */
export type ProxyEnvironment = Readonly<Record<string, string | undefined>>

/**
 * The proxy for `hub`, or undefined for a direct connection. Only hubs on https are reached through one, by a tunnel
 * (CONNECT) that it cannot look into: what is sent to a hub on plain http, a proxy would read.
 * @param proxy - false for none, a URL for exactly this one; otherwise that of `https_proxy` or `HTTPS_PROXY`, unless
 * `no_proxy` or `NO_PROXY` names the hub or it is on this machine.
 * @throws DownlinkError `bad_proxy_url`.
 */
export function proxyFor(
  hub: URL,
  proxy: false | string | URL | undefined,
  environment: ProxyEnvironment,
): URL | undefined {
  if (proxy === false || hub.protocol !== 'https:') return undefined
  if (proxy !== undefined) return parseProxyUrl(String(proxy), 'The option `proxy`')
  const named = environment.https_proxy ?? environment.HTTPS_PROXY ?? ''
  if (named.trim() === '' || isOnThisMachine(hub.hostname)) return undefined
  if (isExempt(hub, environment.no_proxy ?? environment.NO_PROXY ?? '')) return undefined
  return parseProxyUrl(named.trim(), 'HTTPS_PROXY')
}

/**
 * Whether `noProxy` names the host of `hub`. Its entries stand between commas or spaces: `*` is every host,
 * `example.com` that host and every one below it, `.example.com` and `*.example.com` only those below it, an address
 * exactly that address; `:PORT` behind any of them limits it to that port.
 */
export function isExempt(hub: URL, noProxy: string): boolean {
  const host = bareHost(hub.hostname)
  const port = hub.port === '' ? (hub.protocol === 'https:' ? '443' : '80') : hub.port
  return noProxy
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      const { name, onlyPort } = readEntry(entry)
      if (onlyPort !== undefined && onlyPort !== port) return false
      if (name === '*') return true
      const suffix = /^\*?\./.test(name) ? name.replace(/^\*?/, '') : undefined
      if (suffix !== undefined) return host.endsWith(suffix) && host.length > suffix.length
      return host === name || (!isAddress(host) && name !== '' && host.endsWith(`.${name}`))
    })
}

/** The value of `Proxy-Authorization` for the user and password in the proxy's URL, or undefined if there are none. */
export function proxyAuthorization(proxy: URL): string | undefined {
  if (proxy.username === '' && proxy.password === '') return undefined
  const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`
  return `Basic ${Buffer.from(credentials).toString('base64')}`
}

function readEntry(entry: string): { readonly name: string; readonly onlyPort?: string } {
  const bracketed = /^\[([^\]]*)\](?::(\d+))?$/.exec(entry)
  // More than one colon without brackets is an IPv6 address, not a port.
  const plain = bracketed ?? /^([^:]*):(\d+)$/.exec(entry)
  const name = bareHost(plain?.[1] ?? entry)
  const onlyPort = plain?.[2]
  return onlyPort === undefined ? { name } : { name, onlyPort: String(Number(onlyPort)) }
}

function bareHost(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
}

function isAddress(host: string): boolean {
  return host.includes(':') || /^\d+(\.\d+){3}$/.test(host)
}

function isOnThisMachine(hostname: string): boolean {
  const host = bareHost(hostname)
  return host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host)
}

function parseProxyUrl(text: string, source: string): URL {
  const full = text.includes('://') ? text : `http://${text}`
  const url = URL.canParse(full) ? new URL(full) : undefined
  // The text is not shown: it may hold a password.
  if (url === undefined || url.hostname === '' || !/^https?:$/.test(url.protocol) || !hasReadableUser(url)) {
    throw new DownlinkError(
      'bad_proxy_url',
      `${source} names a proxy that cannot be used. Give it as http://[USER:PASSWORD@]HOST[:PORT] or https://…`,
      { retry: 'never' },
    )
  }
  return url
}

function hasReadableUser({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}
