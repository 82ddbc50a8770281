/** What is run: the configured command with its placeholders filled in, and the environment it gets. */
import { DownlinkError, field, isJsonObject } from '@downlink/protocol'
import type { Json } from '@downlink/protocol'

const PLACEHOLDER = /^\{([A-Za-z_][A-Za-z0-9_-]*)\}$/

/** Fills in the placeholders. @throws DownlinkError `bad_input` if the input has no fitting member for one. */
export type CommandTemplate = (input: Json) => readonly string[]

/**
 * Compiles a command of the agent's own configuration. An argument that is exactly `{name}` stands for the string or
 * number member `name` of a task's input, which must match `placeholders[name]` as a whole and not begin with `-`;
 * nothing else of the input reaches the arguments.
 * @throws DownlinkError `bad_config` if the command is empty, its program is a placeholder, or one has no pattern.
 */
export function compileCommand(
  command: readonly string[],
  placeholders: Readonly<Record<string, string>> = {},
): CommandTemplate {
  const [program, ...args] = command
  if (program === undefined || program === '' || program.startsWith('-') || PLACEHOLDER.test(program))
    throw badConfig(
      'The command of a task must begin with the program to run, which cannot come from the input.',
    )
  if (command.some((element) => element.includes('\0')))
    throw badConfig('The command of a task holds a NUL character, which no program can be handed.')
  const fillers = args.map((argument) => {
    const name = PLACEHOLDER.exec(argument)?.[1]
    return name === undefined ? () => argument : compilePlaceholder(name, placeholders)
  })
  return (input) => [program, ...fillers.map((fill) => fill(input))]
}

function compilePlaceholder(
  name: string,
  placeholders: Readonly<Record<string, string>>,
): (input: Json) => string {
  const source = Object.hasOwn(placeholders, name) ? placeholders[name] : undefined
  if (source === undefined)
    throw badConfig(`The placeholder {${name}} has no pattern; add one that says what may stand there.`)
  const pattern = compilePattern(name, source)
  return (input) => {
    const value = isJsonObject(input) ? field(input, name) : undefined
    if (typeof value !== 'string' && typeof value !== 'number')
      throw badInput(name, 'is missing or neither a string nor a number')
    const text = String(value)
    // A program would take it for an option, whatever the pattern allows.
    if (text.startsWith('-')) throw badInput(name, 'begins with "-"')
    if (text.includes('\0') || !pattern.test(text))
      throw badInput(name, 'does not match the configured pattern')
    return text
  }
}

function compilePattern(name: string, source: string): RegExp {
  try {
    // On its own first: `a)|(b` would otherwise escape from the anchors.
    const pattern = new RegExp(source, 'u')
    return new RegExp(`^(?:${pattern.source})$`, 'u')
  } catch (cause) {
    throw badConfig(`The pattern of the placeholder {${name}} is no regular expression; correct it.`, cause)
  }
}

function badConfig(message: string, cause?: unknown): DownlinkError {
  return new DownlinkError('bad_config', message, { retry: 'never', cause })
}

function badInput(name: string, problem: string): DownlinkError {
  return new DownlinkError(
    'bad_input',
    `The member "${name}" of the input ${problem}, so nothing was started; send one that the agent's configuration allows.`,
    { retry: 'never' },
  )
}

const INHERITED = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR']
/** Without these, most programs do not start on Windows. */
const INHERITED_ON_WINDOWS = ['SYSTEMROOT', 'TEMP', 'TMP', 'USERPROFILE', 'PATHEXT', 'COMSPEC']

/**
 * The environment of a task: a few harmless variables of the agent's own, then `added`. Everything else stays behind,
 * since a credential or a proxy's password may be among it.
 */
export function taskEnvironment(
  inherited: Readonly<NodeJS.ProcessEnv>,
  added: Readonly<Record<string, string>>,
  platform: NodeJS.Platform,
): Record<string, string> {
  const names = new Set(platform === 'win32' ? [...INHERITED, ...INHERITED_ON_WINDOWS] : INHERITED)
  const environment: Record<string, string> = {}
  for (const [name, value] of Object.entries(inherited)) {
    // Names are blind to case on Windows, where PATH is usually spelled Path.
    const known = platform === 'win32' ? name.toUpperCase() : name
    if (value !== undefined && (names.has(known) || known.startsWith('LC_'))) environment[name] = value
  }
  return { ...environment, ...added }
}
