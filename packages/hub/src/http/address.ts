/** Whose an address is, as far as limits are concerned. */
import { BlockList, isIP } from 'node:net'

/** Whether an address may be that of many senders: a proxy that the hub was told of, this machine, or none that is known. */
export type IsProxy = (address: string) => boolean

/** One machine has a whole /64 of IPv6 addresses to change between. */
export function networkOf(address: string): string {
  return address.includes(':') && !address.includes('.') ? address.split(':', 4).join(':') : address
}

/**
 * Knows this machine's loopback addresses, and those that are named: `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`.
 * @throws RangeError for what is no address or network.
 */
export function createIsProxy(proxies: readonly string[]): IsProxy {
  const known = new BlockList()
  for (const proxy of ['127.0.0.0/8', '::1', ...proxies]) {
    const [address = '', prefix] = proxy.split('/')
    const family = isIP(address)
    const bits = family === 4 ? 32 : 128
    const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : NaN
    if (family === 0 || !(length <= bits)) {
      throw new RangeError(`A proxy must be an address or a network such as 10.0.0.0/8; ${proxy} is none.`)
    }
    known.addSubnet(address, length, family === 4 ? 'ipv4' : 'ipv6')
  }
  return (address) => {
    const family = isIP(address)
    // A local socket and a connection inside the process have no address; an IPv4 one on a socket for both is `check`'s to see.
    return family === 0 || known.check(address, family === 4 ? 'ipv4' : 'ipv6')
  }
}
