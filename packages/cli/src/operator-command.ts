/** What every operator's command has in common: how it finds the hub, its example, its exit codes. */
import { createOperatorClient, type OperatorClient } from '@downlink/client'
import { DownlinkError, HttpError, parseJson, limits, type Json } from '@downlink/protocol'
import { InvalidArgumentError, type Command } from 'commander'
import type { CommandContext } from './command-context.ts'
import { findHub, type HubFlags } from './discovery.ts'
import { parseDurationMs } from './duration.ts'
import { CommandError, EXIT, EXIT_CODES_HELP, exitCodeOf } from './exit-codes.ts'

/** Options of every operator's command. */
export interface OperatorFlags extends HubFlags {
  readonly json?: boolean
  readonly allowPlainHttp?: boolean
}

/** Adds the options that every operator's command has. */
export function withOperatorOptions(command: Command): Command {
  return command
    .option('--hub <url>', 'the hub; found in ./.downlink when it runs from this folder')
    .option('--token-file <file>', 'file with an operator token; found in ./.downlink likewise')
    .option('--allow-plain-http', 'send the token unencrypted to a hub on another machine')
    .option('--json', 'write JSON: one document, or one line per item')
}

/** Ends the help of a command with its one example, which a test runs, and the exit codes. */
export function withExample(command: Command, example: string): Command {
  return command.addHelpText('after', `\nExample:\n  $ downlink ${example}\n\n${EXIT_CODES_HELP}`)
}

/** Runs `work` with a client of the hub that `flags` or `./.downlink` name. */
export async function withClient<T>(
  context: CommandContext,
  flags: OperatorFlags,
  work: (client: OperatorClient) => Promise<T>,
): Promise<T> {
  const { url, token, tokenFile } = await findHub(context.cwd, flags)
  const client = createOperatorClient({
    url,
    token,
    clock: context.clock,
    random: context.random,
    allowPlainHttp: flags.allowPlainHttp ?? false,
  })
  try {
    return await work(client)
  } catch (error) {
    throw withRemedy(error, client.url, tokenFile, flags)
  }
}

/** An error of the client with what to do about it from here. */
function withRemedy(error: unknown, url: URL, tokenFile: string, flags: OperatorFlags): unknown {
  if (!(error instanceof DownlinkError)) return error
  if (error.code === 'hub_unreachable' || error.code === 'reply_timeout') {
    const remedy =
      flags.hub === undefined
        ? 'It ran from this folder before; start it again with: downlink up'
        : 'Check the URL, and that the hub runs and can be reached from here.'
    return new CommandError(EXIT.unreachable, `No hub answers at ${url.origin}. ${remedy}`, { cause: error })
  }
  if (error instanceof HttpError && error.status === 401) {
    return new CommandError(
      EXIT.refused,
      `The hub at ${url.origin} does not accept the token in ${tokenFile}. Give another with --token-file, or start the hub from this folder again.`,
      { cause: error },
    )
  }
  return error instanceof HttpError && exitCodeOf(error) === EXIT.refused
    ? new CommandError(EXIT.refused, `Refused: ${withoutRequest(error)}`, { cause: error })
    : error
}

/** The hub's own sentence: which request it answered is of no use to a person. */
function withoutRequest(error: HttpError): string {
  const at = error.message.indexOf(`${error.code}: `)
  return at < 0 ? error.message : `${error.message.slice(at + error.code.length + 2)} (${error.code})`
}

/** For commander: reads `10s`. */
export function durationArgument(text: string): number {
  const ms = parseDurationMs(text)
  if (ms === undefined)
    throw new InvalidArgumentError(
      'Give a duration such as 500ms, 10s, 5m, 1h or 7d; one that may be left out stands last, or as --wait=10s.',
    )
  return ms
}

/** For commander: a whole number of at least 1. */
export function countArgument(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Give a whole number from 1.')
  return Number(text)
}

/** For commander: a TCP port, 0 for any free one. */
export function portArgument(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535) {
    throw new InvalidArgumentError('Give a port from 1 to 65535, or 0 for any free one.')
  }
  return Number(text)
}

/** JSON from the command line; `-` reads standard input. @throws CommandError `usage` */
export async function jsonArgument(context: CommandContext, flag: string, text: string): Promise<Json> {
  const source = text === '-' ? await context.readStdin(limits.OPERATOR_BODY_BYTES_MAX) : text
  const json = parseJson(source, limits.JSON_DEPTH_MAX)
  if (json === undefined) {
    const where = text === '-' ? 'Standard input' : `The value of ${flag}`
    throw new CommandError(
      EXIT.usage,
      `${where} is no JSON. Give it as ${flag} '{"name":"value"}', or ${flag} - to read standard input.`,
    )
  }
  return json
}
