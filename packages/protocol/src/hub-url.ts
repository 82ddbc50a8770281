/** Reads a hub's base URL and refuses one that would send a secret in the clear or to a place the URL does not show. */
import { DownlinkError } from './errors.ts'

/**
 * The base URL of a hub, without a slash at its end.
 * @param secret - what is sent there, as the message calls it, such as `the agent's credential`.
 * @throws DownlinkError `bad_hub_url` if it is no http(s) URL or has credentials, a query or a fragment, and
 * `insecure_hub` if it is unencrypted, not on loopback, and `allowPlainHttp` is not set.
 */
export function parseHubUrl(hub: string | URL, allowPlainHttp: boolean, secret: string): URL {
  // The text is not shown: it may hold a password, whether it parses or not.
  const text = String(hub)
  if (!URL.canParse(text)) throw badHubUrl('is not a URL')
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw badHubUrl(`has the scheme ${url.protocol.slice(0, -1)}`)
  }
  if (url.username !== '' || url.password !== '') throw badHubUrl(`of ${url.host} holds a user or password`)
  if (url.search !== '') throw badHubUrl(`of ${url.host} has a query`)
  if (url.hash !== '') throw badHubUrl(`of ${url.host} has a fragment`)
  if (url.protocol === 'http:' && !allowPlainHttp && !isLoopback(url)) {
    throw new DownlinkError(
      'insecure_hub',
      `The hub ${url.origin} is not on this machine and would receive ${secret} unencrypted. Use https, or allow plain HTTP if the network itself is trusted.`,
      { retry: 'never' },
    )
  }
  url.pathname = url.pathname.replace(/\/+$/, '')
  return url
}

/** Whether nothing but this machine sees what is sent there. URL has normalized the address. */
function isLoopback(url: URL): boolean {
  return url.hostname === 'localhost' || url.hostname === '[::1]' || /^127(\.\d+){3}$/.test(url.hostname)
}

function badHubUrl(fault: string): DownlinkError {
  return new DownlinkError(
    'bad_hub_url',
    `The hub's URL ${fault}. Give it as https://HOST[:PORT][/PATH] and nothing more.`,
    { retry: 'never' },
  )
}
