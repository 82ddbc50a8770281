/** The journal over a disk that fails and forgets, by seeds: what was promised is there after every crash. */
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../testkit/src/simulation/scheduler.ts'
import { createTestClock } from '../../../testkit/src/test-clock.ts'
import { CrashDisk, type DiskStep, type Fate } from '../../test/crash-disk.ts'
import type { Journal } from './journal.ts'
import { openJournal } from './open-journal.ts'

const SEEDS = 400
const STEPS = 60
/** Some ten records: every run compacts several times. */
const COMPACT_BYTES = 1_500
const CODES = ['EIO', 'ENOSPC', 'EROFS'] as const

interface Found {
  /** What was promised and is missing, or that a journal called itself damaged. */
  readonly faults: readonly string[]
  readonly promised: number
  readonly refused: number
  readonly deaths: number
}

type Mutate = (step: DiskStep) => Fate | undefined

/** One journal's lives on one disk. */
class JournalRun {
  readonly #random: () => number
  readonly #disk = new CrashDisk()
  readonly #promised = new Set<string>()
  #isUnlucky = false
  #isMortal = false
  #isDead = false
  #refused = 0
  #deaths = 0

  constructor(seed: number, mutate: Mutate) {
    const random = seededRandom(seed)
    this.#random = random
    this.#disk.partial = (length) => Math.floor(random() * length)
    this.#disk.fate = (step) => {
      if (this.#isUnlucky && random() < 0.2) return { code: this.#pick(CODES) }
      if (this.#isMortal && random() < 0.1) return this.#pick(['die-before', 'die-after'])
      return mutate(step) ?? 'done'
    }
  }

  async run(): Promise<Found> {
    const faults: string[] = []
    for (let step = 0; step < STEPS && faults.length === 0;) {
      const journal = await this.#born()
      if (journal === undefined) continue
      if (journal.wasLost) faults.push('the journal calls itself damaged')
      for (const id of this.#promised) if (!journal.ledger.state.tasks.has(id)) faults.push(`${id} is lost`)
      while (step < STEPS && !this.#isDead) {
        await this.#append(journal, step++)
        if (!this.#isDead && this.#random() < 0.1) this.#die()
      }
    }
    return { faults, promised: this.#promised.size, refused: this.#refused, deaths: this.#deaths }
  }

  /** The next life; undefined if it dies while it opens the journal. */
  async #born(): Promise<Journal | undefined> {
    this.#isDead = false
    this.#isUnlucky = this.#random() < 0.3
    this.#isMortal = this.#random() < 0.5
    const opening = openJournal('/state', createTestClock(), {
      disk: this.#disk.mount(),
      compactBytes: COMPACT_BYTES,
    })
    let journal: Journal | undefined
    await this.#untilDeath(opening.then((opened) => void (journal = opened)))
    return journal
  }

  async #append(journal: Journal, step: number): Promise<void> {
    this.#isUnlucky = this.#random() < 0.4
    this.#isMortal = this.#random() < 0.3
    const ids = Array.from({ length: 1 + Math.floor(this.#random() * 3) }, (_, index) => `t${step}-${index}`)
    const appends = ids.map(async (taskId) => {
      try {
        await journal.append([
          { type: 'task', taskId, kind: 'job', input: null },
          { type: 'facts', taskId, facts: 'x'.repeat(20) },
        ])
        this.#promised.add(taskId)
      } catch {
        this.#refused++
      }
    })
    await this.#untilDeath(Promise.all(appends))
  }

  /** A killed process does nothing more, so what it began never ends. */
  async #untilDeath(work: Promise<unknown>): Promise<void> {
    const { promise: death } = this.#disk.death
    const died = await Promise.race([work.then(() => false), death.then(() => true)])
    if (died) this.#die()
  }

  #die(): void {
    this.#isDead = true
    this.#deaths++
    if (this.#random() < 0.5) this.#disk.kill()
    else this.#disk.cutPower(this.#random)
  }

  #pick<T>(items: readonly [T, ...T[]]): T {
    return items[Math.floor(this.#random() * items.length)] ?? items[0]
  }
}

const runSeed = (seed: number, mutate: Mutate = () => undefined): Promise<Found> =>
  new JournalRun(seed, mutate).run()

describe('given a disk that fails, forgets what was not flushed, and loses what a failed flush held', () => {
  test('when the journal is used, killed and cut off, by many seeds > nothing promised is lost', async () => {
    const total = { promised: 0, refused: 0, deaths: 0 }
    for (let seed = 1; seed <= SEEDS; seed++) {
      const { faults, promised, refused, deaths } = await runSeed(seed)
      expect(faults, `seed ${seed} failed; run it alone and follow its steps`).toEqual([])
      total.promised += promised
      total.refused += refused
      total.deaths += deaths
    }
    expect(total.promised, 'too little happened for this to say anything').toBeGreaterThan(20 * SEEDS)
    expect(total.refused, 'hardly anything failed').toBeGreaterThan(5 * SEEDS)
    expect(total.deaths, 'hardly any process died').toBeGreaterThan(5 * SEEDS)
  })

  test.each<DiskStep>(['datasync', 'sync', 'syncDirectory'])(
    'when %s were left out > a seed shows it',
    async (leftOut) => {
      const mutate: Mutate = (step) => (step === leftOut ? 'lie' : undefined)
      let isFound = false
      for (let seed = 1; seed <= SEEDS && !isFound; seed++) {
        isFound = (await runSeed(seed, mutate)).faults.length > 0
      }
      expect(isFound, `${SEEDS} seeds pass without ${leftOut}; the disk no longer reaches the case`).toBe(
        true,
      )
    },
  )
})
