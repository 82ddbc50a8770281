/** Durations as people type and read them. */

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}
/** Far beyond any limit of a hub, and far below what a number cannot hold. */
const DURATION_MS_MAX = 3_660 * 86_400_000

/** `10s`, `500ms`, `1.5h` in ms, or undefined if `text` is no duration above zero with a unit. */
export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(text)
  if (match === null) return undefined
  const [, count = '', unit = ''] = match
  const ms = Math.round(Number(count) * (UNITS_MS[unit] ?? Number.NaN))
  return ms > 0 && ms <= DURATION_MS_MAX ? ms : undefined
}

/** `84 ms`, `3.2 s`, `5 min`, `2 h`, `9 d`: two figures that a person can take in. */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1).replace(/\.0$/, '')} s`
  const minutes = Math.round(ms / 60_000)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.round(ms / 3_600_000)
  return hours < 48 ? `${hours} h` : `${Math.round(ms / 86_400_000)} d`
}

/** How long ago `iso` was, `just now` when it is so or the other clock is ahead, and a dash when it is no time. */
export function agoText(iso: string | undefined, wallMs: number): string {
  const ms = wallMs - Date.parse(iso ?? '')
  if (Number.isNaN(ms)) return '-'
  return ms < 1_000 ? 'just now' : `${durationText(ms)} ago`
}
