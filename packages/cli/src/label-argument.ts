/** For commander: labels, one `name=value` at a time. */
import { limits } from '@downlink/protocol'
import { InvalidArgumentError } from 'commander'

/** Adds one label to those before it. */
export function labelArgument(
  text: string,
  previous: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const at = text.indexOf('=')
  const [name, value] = [text.slice(0, at), text.slice(at + 1)]
  if (at < 1 || name.length > limits.ID_CHARS_MAX || value.length > limits.ID_CHARS_MAX) {
    throw new InvalidArgumentError(
      `Give a label such as zone=eu, with at most ${limits.ID_CHARS_MAX} characters on either side.`,
    )
  }
  const labels = { ...previous, [name]: value }
  if (Object.keys(labels).length > limits.LABELS_MAX) {
    throw new InvalidArgumentError(`Give at most ${limits.LABELS_MAX} labels.`)
  }
  return labels
}
