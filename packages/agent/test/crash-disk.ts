/** A disk in memory that forgets what was not flushed, fails at chosen steps, and loses for good what a failed flush held. */
import type { JournalDisk, JournalFile } from '../src/controls/journal-disk.ts'

/** The steps that can fail, or be the last of a process. */
export type DiskStep =
  | 'create'
  | 'write'
  | 'datasync'
  | 'sync'
  | 'truncate'
  | 'rename'
  | 'syncDirectory'
  | 'list'

interface Inode {
  /** What a read sees. */
  cached: Buffer
  /** What a power cut leaves. */
  durable: Buffer
  /** Bytes from here to the end of the cache may differ from the disk; undefined: the kernel thinks that none does. */
  dirtyFrom: number | undefined
}

/**
 * What becomes of a step. `lie`: it says that it is done and does nothing. `die-before`, `die-after`: the process is
 * killed right there.
 */
export type Fate = 'done' | 'lie' | 'die-before' | 'die-after' | { readonly code: string }

/** The disk under one process after the other. */
export class CrashDisk {
  /** Decides about every step. */
  fate: (step: DiskStep) => Fate = () => 'done'
  /** Of a write that fails: how many bytes it takes before. */
  partial: (length: number) => number = () => 0
  /** Resolves when the process that mounted last is killed. */
  death: PromiseWithResolvers<void> = Promise.withResolvers()
  #cachedNames = new Map<string, Inode>()
  #durableNames = new Map<string, Inode>()
  #areNamesDirty = false
  #life = 0

  /** The power is cut; `random` says how much of what was never flushed is there all the same. */
  cutPower(random: () => number): void {
    this.kill()
    if (this.#areNamesDirty && random() < 0.5) this.#durableNames = new Map(this.#cachedNames)
    for (const inode of new Set(this.#durableNames.values())) {
      if (inode.dirtyFrom !== undefined) {
        // A file grows from its front: what is left of unflushed bytes is their beginning.
        const end = inode.dirtyFrom + Math.floor(random() * (inode.cached.length - inode.dirtyFrom + 1))
        inode.durable = joined(inode.durable, inode.dirtyFrom, inode.cached.subarray(inode.dirtyFrom, end))
      }
      inode.cached = Buffer.from(inode.durable)
      inode.dirtyFrom = undefined
    }
    this.#cachedNames = new Map(this.#durableNames)
    this.#areNamesDirty = false
  }

  /** The process is killed: what it wrote stays with the kernel, and no step of it ends any more. */
  kill(): void {
    this.#life++
    this.death.resolve()
  }

  /** The disk as the next process sees it. */
  mount(): JournalDisk {
    const life = this.#life
    this.death = Promise.withResolvers()
    const step = <T>(name: DiskStep, act: () => T, failed: () => void = () => undefined): Promise<T> =>
      this.#step(life, name, act, failed)
    return {
      makeDirectory: async () => undefined,
      read: async (path) => this.#cachedNames.get(path)?.cached.toString('utf8'),
      list: () =>
        step('list', () =>
          [...this.#cachedNames.keys()].map((path) => path.slice(path.lastIndexOf('/') + 1)),
        ),
      create: (path) =>
        step('create', () => {
          const inode: Inode = { cached: Buffer.alloc(0), durable: Buffer.alloc(0), dirtyFrom: undefined }
          this.#cachedNames.set(path, inode)
          this.#areNamesDirty = true
          return this.#file(life, inode)
        }),
      rename: (from, to) =>
        step('rename', () => {
          const inode = this.#cachedNames.get(from)
          if (inode === undefined) throw Object.assign(new Error(`no ${from}`), { code: 'ENOENT' })
          this.#cachedNames.delete(from)
          this.#cachedNames.set(to, inode)
          this.#areNamesDirty = true
        }),
      remove: async (path) => {
        if (life === this.#life) this.#areNamesDirty = this.#cachedNames.delete(path) || this.#areNamesDirty
      },
      syncDirectory: () =>
        step(
          'syncDirectory',
          () => {
            if (this.#areNamesDirty) this.#durableNames = new Map(this.#cachedNames)
            this.#areNamesDirty = false
          },
          () => void (this.#areNamesDirty = false),
        ),
    }
  }

  #file(life: number, inode: Inode): JournalFile {
    const put = (bytes: Buffer, position: number): void => {
      const rest = inode.cached.subarray(position + bytes.length)
      inode.cached = Buffer.concat([joined(inode.cached, position, bytes), rest])
      inode.dirtyFrom = Math.min(inode.dirtyFrom ?? position, position)
    }
    const flush = (name: 'sync' | 'datasync') => (): Promise<void> =>
      this.#step(
        life,
        name,
        () => {
          const { dirtyFrom } = inode
          if (dirtyFrom === undefined) return
          inode.durable = joined(inode.durable, dirtyFrom, inode.cached.subarray(dirtyFrom))
          inode.dirtyFrom = undefined
        },
        // As Linux does: the pages are marked clean, the next flush finds nothing to do and succeeds.
        () => void (inode.dirtyFrom = undefined),
      )
    const file = {
      write: (buffer: Buffer, offset: number, length: number, position: number) =>
        this.#step(
          life,
          'write',
          () => {
            put(buffer.subarray(offset, offset + length), position)
            return { bytesWritten: length, buffer }
          },
          () => put(buffer.subarray(offset, offset + this.partial(length)), position),
        ),
      sync: flush('sync'),
      datasync: flush('datasync'),
      truncate: (length: number) =>
        this.#step(life, 'truncate', () => {
          inode.cached = inode.cached.subarray(0, length)
          inode.dirtyFrom = Math.min(inode.dirtyFrom ?? length, length)
        }),
      close: async () => undefined,
    }
    return file as unknown as JournalFile
  }

  async #step<T>(
    life: number,
    name: DiskStep,
    act: () => T,
    failed: () => void = () => undefined,
  ): Promise<T> {
    if (life !== this.#life) return new Promise<T>(() => undefined)
    const fate = this.fate(name)
    if (typeof fate === 'object') {
      failed()
      throw Object.assign(new Error(fate.code), { code: fate.code })
    }
    if (fate === 'lie') return undefined as T
    const result = fate === 'die-before' ? undefined : act()
    if (fate === 'done') return result as T
    this.kill()
    return new Promise<T>(() => undefined)
  }
}

/** `bytes` behind the first `position` bytes of `before`; zeros where those are fewer. */
function joined(before: Buffer, position: number, bytes: Uint8Array): Buffer {
  const kept = before.subarray(0, position)
  return Buffer.concat([kept, Buffer.alloc(position - kept.length), bytes])
}
