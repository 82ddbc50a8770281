/** A hub whose disk is full, read-only, failing or slow: nothing is acknowledged that is not on it, and nobody is disturbed. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { DiskHub, expectStored, type Answer } from './disk-hub.ts'
import { canMount, canTrace, injectFault, mountImage, mountMemory } from './faulty-disk.ts'

const mounts = canMount()
const traces = mounts && (await canTrace())
/** What an operator may be answered while the disk fails. */
const FAILED = ['store_failed', 'store_unavailable', 'outcome_unknown']
/** Heartbeats, every 100 ms, that must come while one commit is held up for 700 ms. */
const BEATS_OF_A_COMMIT = 3

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'downlink-disk-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const isRefused = ({ status }: Answer): boolean => status === 503
const isMade = ({ status }: Answer): boolean => status === 201

/** What the operator was answered since `from`. */
function codesSince(hub: DiskHub, from: number): readonly string[] {
  return [...new Set(hub.answers.slice(from).map(({ status, text }) => (status === 201 ? 'made' : text)))]
}

/** Takes all the space that is left. */
async function fill(file: string): Promise<void> {
  for (const bytes of [1_048_576, 65_536, 4_096]) {
    for (;;) {
      try {
        await writeFile(file, Buffer.alloc(bytes), { flag: 'a' })
      } catch {
        break
      }
    }
  }
}

describe('given a hub, an agent and a stream', () => {
  test.runIf(mounts)(
    'when the disk is full > operators and readiness say so, and it goes on once there is space',
    async () => {
      using disk = mountMemory(join(folder, 'disk'))
      await using hub = await DiskHub.start(disk.directory)
      await hub.pressUntil('made', isMade)
      const ballast = join(disk.directory, 'ballast')
      await fill(ballast)
      expect((await hub.pressUntil('refused', isRefused)).text).toBe('store_full')
      const from = hub.answers.length
      expect(await hub.readiness(503)).toBe('store_full')
      const going = hub.beatsGoOn()
      for (let presses = 0; presses < 10; presses++) await hub.press()
      await going
      expect(codesSince(hub, from)).toEqual(['store_full'])
      await rm(ballast)
      await hub.readiness(200)
      for (let presses = 0; presses < 10; presses++) expect(await hub.press()).toMatchObject({ status: 201 })
      await hub.allApplied()
      hub.expectUndisturbed()
      await hub.kill()
      await expectStored(disk.directory, hub.accepted)
    },
  )

  test.runIf(mounts)(
    'when the disk is read-only after an error > nothing is stored, and it goes on once it is repaired',
    async () => {
      using disk = mountImage(join(folder, 'disk'))
      await using hub = await DiskHub.start(disk.directory)
      await hub.pressUntil('made', isMade)
      disk.failReadOnly()
      const from = hub.answers.length
      await hub.pressUntil('refused', isRefused)
      expect(await hub.readiness(503)).toBe('store_failed')
      await hub.beatsGoOn()
      await hub.press()
      for (const code of codesSince(hub, from)) expect(FAILED).toContain(code)
      // The hub lets go of its files between two tries.
      await vi.waitFor(() => disk.repair(), { timeout: 45_000, interval: 20 })
      await hub.readiness(200)
      await hub.pressUntil('made', isMade)
      await hub.allApplied()
      hub.expectUndisturbed()
      await hub.kill()
      using left = disk.afterPowerLoss()
      await expectStored(left.directory, hub.accepted)
    },
  )

  test.runIf(traces).for([
    ['flushes', 'fsync,fdatasync:error=EIO'],
    ['writes', 'pwrite64:error=EIO'],
  ] as const)(
    'when the disk fails at %s > nothing is acknowledged, and it goes on when the disk does',
    async ([, fault]) => {
      using disk = mountImage(join(folder, 'disk'))
      await using hub = await DiskHub.start(disk.directory)
      for (let presses = 0; presses < 10; presses++) await hub.press()
      const from = hub.answers.length
      {
        await using _fault = await injectFault(hub.pid, fault)
        const going = hub.beatsGoOn()
        await hub.pressUntil('refused', isRefused)
        expect(await hub.readiness(503)).toBe('store_failed')
        for (let presses = 0; presses < 10; presses++) await hub.press()
        await going
        for (const code of codesSince(hub, from)) expect(FAILED).toContain(code)
      }
      await hub.readiness(200)
      await hub.pressUntil('made', isMade)
      using left = disk.afterPowerLoss()
      const accepted = [...hub.accepted]
      await hub.allApplied()
      hub.expectUndisturbed()
      await hub.kill()
      await expectStored(left.directory, accepted)
    },
  )

  test.runIf(traces)(
    'when every flush takes 0.7 s > heartbeats go on meanwhile, and an answer comes once it is on the disk',
    async () => {
      using disk = mountImage(join(folder, 'disk'))
      await using hub = await DiskHub.start(disk.directory)
      await using _fault = await injectFault(hub.pid, 'fsync,fdatasync:delay_enter=700000')
      // The first may have been on its way already.
      await hub.press()
      for (let presses = 0; presses < 3; presses++) {
        const before = hub.beats().length
        expect(await hub.press()).toMatchObject({ status: 201 })
        const during = hub.beats().length - before
        expect(during, 'heartbeats waited for the disk, or the answer did not').toBeGreaterThanOrEqual(
          BEATS_OF_A_COMMIT,
        )
        using left = disk.afterPowerLoss()
        await expectStored(left.directory, hub.accepted)
      }
      expect(await hub.readiness(200)).toBe('ready')
      await hub.allApplied()
      hub.expectUndisturbed()
    },
  )
})
