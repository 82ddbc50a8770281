/** The mirrors of one hub: which one is in use, and which other ones there are. */
import { DownlinkError, limits, parseHubUrl, type Clock, type Random } from '@downlink/protocol'
import {
  mirrorFailed,
  mirrorLeft,
  mirrorOrder,
  mirrorsOf,
  mirrorWorked,
  type MirrorState,
} from './mirror-machine.ts'

/**
 * Ordered base URLs of one hub, the first of them home. A call tries the current one, and on a transient failure the
 * others, each once; the pool stays on the one that worked and goes home again once that has recovered.
 * Whoever is in the list sees the agent's credential.
 */
export interface MirrorPool {
  /** The one that worked last. */
  readonly current: URL
  readonly urls: readonly URL[]
  /**
   * From the next call on these are the mirrors; calls and streams under way go on. Stays on the current one if it is
   * among them. Duplicates count once.
   * @throws DownlinkError as `createAgentClient` does; then nothing has changed.
   */
  replace(urls: readonly (string | URL)[]): void
  /** Goes on to the next mirror, if the one in use is this. @internal */
  leave(href: string): void
}

/** What the pool needs. */
export interface MirrorPoolOptions {
  readonly urls: readonly (string | URL)[]
  readonly allowPlainHttp: boolean
  readonly clock: Clock
  readonly random: Random
  /** Called after a replacement with the mirrors that are left. */
  readonly onReplaced: (urls: readonly URL[]) => void
}

/** {@link MirrorPool} as the client uses it. */
export class MirrorList implements MirrorPool {
  readonly #options: MirrorPoolOptions
  #urls: readonly URL[]
  #state: MirrorState

  constructor(options: MirrorPoolOptions) {
    this.#options = options
    this.#urls = readUrls(options.urls, options.allowPlainHttp)
    this.#state = mirrorsOf(this.#urls.length)
  }

  get current(): URL {
    return new URL(this.#at(this.#state.current))
  }

  get urls(): readonly URL[] {
    return this.#urls.map((url) => new URL(url))
  }

  replace(urls: readonly (string | URL)[]): void {
    const next = readUrls(urls, this.#options.allowPlainHttp)
    const kept = next.findIndex(({ href }) => href === this.#at(this.#state.current).href)
    this.#urls = next
    this.#state = mirrorsOf(next.length, Math.max(0, kept), this.#options.clock.monotonicMs())
    this.#options.onReplaced(next)
  }

  /** The mirrors that one call tries, in this order. */
  order(maySeekHome: boolean): readonly URL[] {
    const nowMs = this.#options.clock.monotonicMs()
    return mirrorOrder(this.#state, nowMs, maySeekHome).map((mirror) => this.#at(mirror))
  }

  worked(url: URL): void {
    this.#learn(url, mirrorWorked)
  }

  leave(href: string): void {
    const { clock, random } = this.#options
    if (this.#at(this.#state.current).href !== href) return
    this.#state = mirrorLeft(this.#state, clock.monotonicMs(), random())
  }

  failed(url: URL): void {
    this.#learn(url, mirrorFailed)
  }

  #learn(url: URL, step: typeof mirrorWorked): void {
    // A call may end after its mirror was replaced.
    const mirror = this.#urls.indexOf(url)
    if (mirror === -1) return
    const { clock, random } = this.#options
    this.#state = step(this.#state, mirror, clock.monotonicMs(), random())
  }

  #at(mirror: number): URL {
    const url = this.#urls[mirror]
    if (url === undefined) throw new Error(`There is no mirror ${mirror} among ${this.#urls.length}.`)
    return url
  }
}

function readUrls(urls: readonly (string | URL)[], allowPlainHttp: boolean): readonly URL[] {
  const byHref = new Map<string, URL>()
  for (const url of urls) {
    const parsed = parseHubUrl(url, allowPlainHttp, "the agent's credential")
    if (!byHref.has(parsed.href)) byHref.set(parsed.href, parsed)
  }
  if (byHref.size === 0 || byHref.size > limits.MIRRORS_MAX) {
    throw new DownlinkError(
      'bad_hub_url',
      `An agent needs from 1 to ${limits.MIRRORS_MAX} hub URLs, and ${byHref.size} were given.`,
      { retry: 'never' },
    )
  }
  return [...byHref.values()]
}
