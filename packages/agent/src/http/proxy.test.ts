import { describe, expect, test } from 'vitest'
import { isExempt, proxyAuthorization, proxyFor } from './proxy.ts'

const HUB = new URL('https://hub.example.com')
const PROXY = { HTTPS_PROXY: 'http://proxy.example:3128' }

const hrefOf = (...args: Parameters<typeof proxyFor>) => proxyFor(...args)?.href

describe('given proxies in the environment', () => {
  test.each([
    ['HTTPS_PROXY', 'http://proxy.example:3128', 'http://proxy.example:3128/'],
    ['https_proxy', 'https://proxy.example', 'https://proxy.example/'],
    ['https_proxy', ' proxy.example:3128 ', 'http://proxy.example:3128/'],
    ['https_proxy', 'http://u:p%40@proxy.example', 'http://u:p%40@proxy.example/'],
    ['HTTPS_PROXY', '', undefined],
    ['HTTP_PROXY', 'http://proxy.example', undefined],
    ['ALL_PROXY', 'http://proxy.example', undefined],
  ])('when %s is %j > a hub on https is reached by %s', (name, value, href) => {
    expect(hrefOf(HUB, undefined, { [name]: value })).toBe(href)
  })

  test('when both spellings are set > the one in small letters counts, also to say that there is none', () => {
    expect(hrefOf(HUB, undefined, { ...PROXY, https_proxy: 'http://small.example' })).toBe(
      'http://small.example/',
    )
    expect(hrefOf(HUB, undefined, { ...PROXY, https_proxy: '' })).toBeUndefined()
  })

  test.each(['http://hub.example.com', 'http://127.0.0.1:7077'])(
    'when the hub is %s > no proxy sees its token, whoever names it',
    (hub) => {
      const environment = { ...PROXY, HTTP_PROXY: PROXY.HTTPS_PROXY, ALL_PROXY: PROXY.HTTPS_PROXY }
      expect(proxyFor(new URL(hub), undefined, environment)).toBeUndefined()
      expect(proxyFor(new URL(hub), PROXY.HTTPS_PROXY, environment)).toBeUndefined()
    },
  )

  test.each(['https://localhost:8443', 'https://127.0.0.1', 'https://[::1]:8443'])(
    'when the hub is %s > it is reached directly, unless the option says otherwise',
    (hub) => {
      expect(proxyFor(new URL(hub), undefined, PROXY)).toBeUndefined()
      expect(hrefOf(new URL(hub), 'http://proxy.example', {})).toBe('http://proxy.example/')
    },
  )

  test('when the option is false > there is none', () => {
    expect(proxyFor(HUB, false, PROXY)).toBeUndefined()
  })

  test('when the option is a URL > it counts, whatever NO_PROXY says', () => {
    expect(hrefOf(HUB, new URL('http://own.example'), { ...PROXY, NO_PROXY: '*' })).toBe(
      'http://own.example/',
    )
  })

  test('when NO_PROXY names the hub > there is none', () => {
    expect(proxyFor(HUB, undefined, { ...PROXY, NO_PROXY: 'example.com' })).toBeUndefined()
    expect(proxyFor(HUB, undefined, { ...PROXY, no_proxy: '*' })).toBeUndefined()
    expect(proxyFor(HUB, undefined, { ...PROXY, no_proxy: '', NO_PROXY: '*' })).toBeDefined()
  })

  test.each(['socks5://proxy.example', 'http://', 'http://s3cret%@proxy.example', '::s3cret::'])(
    'when it is %s > it is refused, and not shown',
    (value) => {
      const refused = expect.objectContaining({
        code: 'bad_proxy_url',
        message: expect.not.stringContaining('s3cret') as string,
      })
      expect(() => proxyFor(HUB, undefined, { HTTPS_PROXY: value })).toThrow(refused)
      expect(() => proxyFor(HUB, value, {})).toThrow(refused)
    },
  )
})

describe('given NO_PROXY', () => {
  test.each([
    ['*', 'https://any.example', true],
    ['hub.example.com', 'https://hub.example.com', true],
    ['HUB.Example.com.', 'https://hub.example.com', true],
    ['example.com', 'https://hub.example.com', true],
    ['example.com', 'https://badexample.com', false],
    ['example.com', 'https://example.com.evil.net', false],
    ['.example.com', 'https://hub.example.com', true],
    ['.example.com', 'https://example.com', false],
    ['*.example.com', 'https://hub.example.com', true],
    ['*.example.com', 'https://example.com', false],
    ['a.net, b.net\texample.com', 'https://hub.example.com', true],
    ['hub.example.com:443', 'https://hub.example.com', true],
    ['hub.example.com:8443', 'https://hub.example.com', false],
    ['hub.example.com:08443', 'https://hub.example.com:8443', true],
    ['*:8443', 'https://hub.example.com:8443', true],
    ['10.0.0.1', 'https://10.0.0.1', true],
    ['0.0.1', 'https://10.0.0.1', false],
    ['::1', 'https://[::1]', true],
    ['[::1]:8443', 'https://[::1]:8443', true],
    ['[::1]:8443', 'https://[::1]', false],
    ['fe80::1', 'https://[fe80::2]', false],
    ['', 'https://hub.example.com', false],
    [' , ,', 'https://hub.example.com', false],
    [':443', 'https://hub.example.com', false],
    ['.', 'https://hub.example.com', false],
  ])('when it is %j > %s is exempt: %s', (noProxy, hub, is) => {
    expect(isExempt(new URL(hub), noProxy)).toBe(is)
  })
})

test('given a proxy URL with a user > the credentials are decoded', () => {
  expect(proxyAuthorization(new URL('http://us%3Aer:p%40ss@proxy'))).toBe(
    `Basic ${Buffer.from('us:er:p@ss').toString('base64')}`,
  )
  expect(proxyAuthorization(new URL('http://user@proxy'))).toBe(
    `Basic ${Buffer.from('user:').toString('base64')}`,
  )
  expect(proxyAuthorization(new URL('http://proxy'))).toBeUndefined()
})
