/** One line for a figure that a test measured, so that a run of the tests is a record of them. */

/** Prints how much a process grew, KiB, while it was offered so many bytes. */
export function tellGrown(what: string, offeredBytes: number, grownKib: number): void {
  console.log(`measured: ${what}: offered ${Math.round(offeredBytes / 1e6)} MB, grew ${grownKib} KiB`)
}

/** Prints `what` with its figures, ms, behind it. */
export function tellMeasured(what: string, figuresMs: Readonly<Record<string, number>>): void {
  const figures = Object.entries(figuresMs).map(([name, ms]) => `${name} ${Math.round(ms)} ms`)
  console.log(`measured: ${what}: ${figures.join(', ')}`)
}
