/** Label selectors: which agents are meant, in the words that Kubernetes uses for it. Pure. */
import { limits } from '@downlink/protocol'
import { HubError } from '../hub-error.ts'

/** Whether labels are meant. */
export type LabelSelector = (labels: Readonly<Record<string, string>>) => boolean

/** Name, and for a value an operator and the value; names and values are what labels may be, but for `,`, `=` and `!`. */
const TERM = /^(?<not>!?)(?<name>[^,=!]+)(?:(?<operator>!=|==?)(?<value>[^,=!]*))?$/

/**
 * Reads a selector: terms joined by commas, all of which must hold. `name=value` (or `==`), `name!=value` (also where
 * there is no such label), `name` (there is such a label), `!name` (there is none). An empty text selects everything.
 * @throws HubError `bad_request`.
 */
export function parseLabelSelector(text: string): LabelSelector {
  if (text === '') return () => true
  const terms = text.split(',')
  if (terms.length > limits.SELECTOR_TERMS_MAX) {
    throw new HubError(
      'bad_request',
      `The label selector has ${terms.length} terms; ${limits.SELECTOR_TERMS_MAX} fit. Select by fewer labels.`,
    )
  }
  const tests = terms.map((term) => parseTerm(term.trim()))
  return (labels) => tests.every((test) => test(labels))
}

function parseTerm(term: string): LabelSelector {
  const { not, name, operator, value = '' } = TERM.exec(term)?.groups ?? {}
  if (name === undefined || (not === '!' && operator !== undefined)) {
    throw new HubError(
      'bad_request',
      'The label selector must be terms like region=eu, region!=eu, region or !region, joined by commas.',
    )
  }
  const key = name.trim()
  if (operator === undefined) return (labels) => Object.hasOwn(labels, key) === (not === '')
  const isEqual: LabelSelector = (labels) => Object.hasOwn(labels, key) && labels[key] === value.trim()
  return operator === '!=' ? (labels) => !isEqual(labels) : isEqual
}
