/** Ends this process with SIGKILL at a chosen step: the worst moment, chosen by a seed. */
import { subscribe } from 'node:diagnostics_channel'

/** Where to die: at the `count`th time that `step` is published. */
export interface KillPoint {
  readonly step: string
  readonly count: number
}

/** `STEP:COUNT`, or undefined for anything else. */
export function parseKillPoint(text: string | undefined): KillPoint | undefined {
  const match = /^([a-z-]+):([1-9]\d{0,5})$/.exec(text ?? '')
  return match?.[1] === undefined ? undefined : { step: match[1], count: Number(match[2]) }
}

/** Kills this process at `point`; `stepOf` says which step a channel's message is, if any. */
export function armKillPoint(
  point: KillPoint,
  channels: Readonly<Record<string, (message: unknown) => string | undefined>>,
): void {
  let left = point.count
  for (const [name, stepOf] of Object.entries(channels)) {
    subscribe(name, (message) => {
      if (stepOf(message) !== point.step || --left > 0) return
      process.kill(process.pid, 'SIGKILL')
      // The signal is on its way; nothing more may happen in this process.
      for (;;);
    })
  }
}

/** The `step` of a message `{ step }`. */
export function stepField(message: unknown): string | undefined {
  if (typeof message !== 'object' || message === null || !('step' in message)) return undefined
  return typeof message.step === 'string' ? message.step : undefined
}

/** Ends this process when the one that started it is gone, however that ended. */
export function endWithParent(): void {
  process.stdin.on('close', () => process.exit(0)).resume()
}
