/** Disks that fill up, fail, dawdle and lose power: small file systems of their own, and system calls that strace lets fail. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

/** Bytes of a disk: ext4 with its journal, and a database with its log. */
const DISK_BYTES = 16_777_216

/** A mounted file system. */
export interface Disk extends Disposable {
  readonly directory: string
}

/** A file system in an image: what the image holds is what a power loss would leave. */
export interface ImageDisk extends Disk {
  /** Makes it read-only as the kernel does after an error, under files that are open for writing. */
  failReadOnly(): void
  /** Checks and mounts it again. @throws while a process has a file of it open. */
  repair(): void
  /** Mounts a copy of the image as it is at this moment: nothing is there that was not flushed. */
  afterPowerLoss(): Disk
}

/** Whether this machine and user can mount file systems, loop devices among them. */
export function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  const folder = mkdtempSync(join(tmpdir(), 'downlink-mount-'))
  try {
    using _memory = mountMemory(join(folder, 'memory'))
    using _image = mountImage(join(folder, 'image'))
    return true
  } catch {
    return false
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Mounts a file system in memory. */
export function mountMemory(directory: string): Disk {
  mkdirSync(directory, { recursive: true })
  run('mount', '-t', 'tmpfs', '-o', `size=${DISK_BYTES / 2}`, 'tmpfs', directory)
  return { directory, [Symbol.dispose]: () => run('umount', '--lazy', directory) }
}

/** Makes and mounts an ext4 file system, whose image is beside `directory`. */
export function mountImage(directory: string): ImageDisk {
  const image = `${directory}.img`
  writeFileSync(image, '')
  truncateSync(image, DISK_BYTES)
  run('mkfs.ext4', '-q', '-F', image)
  return mounted(image, directory)
}

function mounted(image: string, directory: string): ImageDisk {
  mkdirSync(directory, { recursive: true })
  const mount = (): void => run('mount', '-o', 'loop,errors=remount-ro', image, directory)
  mount()
  return {
    directory,
    failReadOnly() {
      const device = execFileSync('findmnt', ['-n', '-o', 'SOURCE', directory], { encoding: 'utf8' }).trim()
      writeFileSync(`/sys/fs/ext4/${basename(device)}/trigger_fs_error`, '1')
    },
    repair() {
      run('umount', directory)
      try {
        run('e2fsck', '-p', image)
      } catch {
        // 1 says that it mended something; whatever it could not mend, mounting says.
      }
      mount()
    },
    afterPowerLoss() {
      const copy = `${image}.${Date.now()}`
      copyFileSync(image, copy)
      return mounted(copy, `${copy}.mounted`)
    },
    [Symbol.dispose]: () => run('umount', '--lazy', directory),
  }
}

/** Whether strace can attach to a running process here. */
export async function canTrace(): Promise<boolean> {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  try {
    await using _fault = await injectFault(child.pid ?? 0, 'fsync:error=EIO')
    return true
  } catch {
    return false
  } finally {
    child.kill('SIGKILL')
  }
}

/**
 * Lets system calls of a process fail or wait until it is disposed of.
 * @param fault - as strace's `-e inject=`, such as `fsync,fdatasync:error=EIO`.
 * @throws if strace cannot attach.
 */
export async function injectFault(pid: number, fault: string): Promise<AsyncDisposable> {
  const [calls = ''] = fault.split(':')
  const tracer = spawn(
    'strace',
    ['-f', '-p', String(pid), '-o', '/dev/null', '-e', `trace=${calls}`, '-e', `inject=${fault}`],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  const ended = once(tracer, 'close').catch(() => undefined)
  let text = ''
  const isAttached = await new Promise<boolean>((resolve) => {
    tracer.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (/Process \d+ attached/.test(text)) resolve(true)
    })
    void ended.then(() => resolve(false))
  })
  if (!isAttached) throw new Error(`strace could not attach: ${text}`)
  return {
    async [Symbol.asyncDispose]() {
      tracer.kill('SIGTERM')
      await ended
    },
  }
}

function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: 'pipe' })
}
