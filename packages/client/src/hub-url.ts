/** Reads the URL of a hub and refuses one that would send the operator's token in the clear. */
import { DownlinkError } from '@downlink/protocol'

/**
 * The base URL of a hub, without a slash at its end.
 * @throws DownlinkError `bad_hub_url` if it is no http(s) URL or has credentials, a query or a fragment, and
 * `insecure_hub` if it is unencrypted, not on loopback, and `allowPlainHttp` is not set.
 */
export function parseHubUrl(hub: string | URL, allowPlainHttp: boolean): URL {
  // The text is not shown: it may hold a password, whether it parses or not.
  const text = String(hub)
  if (!URL.canParse(text)) throw badHubUrl('is not a URL')
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw badHubUrl('is neither http nor https')
  if (url.username !== '' || url.password !== '') throw badHubUrl('holds a user or a password')
  if (url.search !== '' || url.hash !== '') throw badHubUrl('has a query or a fragment')
  if (url.protocol === 'http:' && !allowPlainHttp && !isLoopback(url)) {
    throw new DownlinkError(
      'insecure_hub',
      `The hub ${url.origin} is not on this machine and would receive the token unencrypted. Use https, or allow plain HTTP if the network itself is trusted.`,
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
