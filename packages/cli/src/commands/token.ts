/** `downlink token create | list | revoke`: the tokens by which people and programs operate a hub. */
import { limits, OPERATOR_SCOPES, type OperatorScope, type OperatorTokenRecord } from '@downlink/protocol'
import { InvalidArgumentError, type Command } from 'commander'
import type { CommandContext } from '../command-context.ts'
import { agoText } from '../duration.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import {
  durationArgument,
  withClient,
  withExample,
  withOperatorOptions,
  type OperatorFlags,
} from '../operator-command.ts'
import type { Cell } from '../output.ts'

type Run = (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>

interface CreateFlags extends OperatorFlags {
  readonly name: string
  readonly scope: readonly OperatorScope[]
  readonly expires?: number
}

/** Adds the command with those below it. */
export function addTokenCommand(program: Command, run: Run): void {
  const command = program
    .command('token')
    .summary('make, list and revoke operators\u2019 tokens')
    .description('The tokens by which people and programs operate a hub; all of it needs the scope "admin".')
  withExample(command, 'token list')

  const create = command
    .command('create')
    .summary('make a token')
    .description(
      'Make a token. It is shown once; keep it in a file that only its reader can read: umask 077; downlink token create … > FILE',
    )
    .requiredOption('--name <name>', 'whose it is; stands in stamps and in the audit trail', nameArgument)
    .requiredOption(
      '--scope <scope>',
      `${OPERATOR_SCOPES.join(', ')}; admin includes the others; may stand several times`,
      scopeArgument,
    )
    .option(
      '--expires <duration>',
      'how long it is good for, such as 30d; for ever unless told',
      expiresArgument,
    )
  withOperatorOptions(create).action((flags: CreateFlags) => run((context) => createToken(context, flags)))
  withExample(create, 'token create --name ci --scope read --scope run --expires 30d')

  const list = command
    .command('list')
    .summary('list all tokens')
    .description('List all tokens, without their texts.')
  withOperatorOptions(list).action((flags: OperatorFlags) => run((context) => listTokens(context, flags)))
  withExample(list, 'token list')

  const revoke = command
    .command('revoke')
    .summary('end a token')
    .description('Revoke a token: it is refused from now on, and what streams to its reader ends.')
    .argument('<id>', 'id of the token, as token list shows it')
  withOperatorOptions(revoke).action((id: string, flags: OperatorFlags) =>
    run((context) => revokeToken(context, id, flags)),
  )
  withExample(revoke, 'token revoke Zk3v0bWq8YtL')
}

async function createToken(context: CommandContext, flags: CreateFlags): Promise<ExitCode> {
  const { output } = context
  const { name, scope, expires } = flags
  return withClient(context, flags, async (client) => {
    const made = await client.createOperatorToken({
      name,
      scopes: scope,
      ...(expires === undefined ? {} : { ttlMs: expires }),
    })
    if (flags.json === true) output.json(made)
    else {
      output.line(made.token)
      output.problem(
        `Use it with --token-file FILE; revoke it with: downlink token revoke ${made.id}${made.expiresAt === undefined ? '' : ` (expires ${made.expiresAt})`}`,
      )
    }
    return EXIT.done
  })
}

async function listTokens(context: CommandContext, flags: OperatorFlags): Promise<ExitCode> {
  const { output, clock } = context
  return withClient(context, flags, async (client) => {
    const rows: (readonly Cell[])[] = []
    for await (const token of client.operatorTokens()) {
      if (flags.json === true) output.json(token)
      else rows.push(rowOf(token, clock.wallMs()))
    }
    if (flags.json !== true)
      output.table(['ID', 'NAME', 'SCOPES', 'STATE', 'MADE', 'BY', 'EXPIRES', 'USED'], rows)
    return EXIT.done
  })
}

function rowOf(token: OperatorTokenRecord, wallMs: number): readonly Cell[] {
  const { id, name, scopes, state, createdAt, createdBy, expiresAt = 'never', lastUsedAt } = token
  return [
    id,
    name,
    scopes.join(','),
    { text: state, tone: state === 'usable' ? 'good' : 'bad' },
    agoText(createdAt, wallMs),
    createdBy,
    expiresAt,
    // Known to the hour.
    lastUsedAt === undefined ? 'never' : agoText(lastUsedAt, wallMs),
  ]
}

async function revokeToken(context: CommandContext, id: string, flags: OperatorFlags): Promise<ExitCode> {
  return withClient(context, flags, async (client) => {
    await client.revokeOperatorToken(id)
    if (flags.json === true) context.output.json({ id, state: 'revoked' })
    else context.output.line(`${id} is revoked: it is refused from now on.`)
    return EXIT.done
  })
}

/** For commander: gathers scopes. */
function scopeArgument(text: string, before: readonly OperatorScope[] = []): readonly OperatorScope[] {
  const scope = OPERATOR_SCOPES.find((known) => known === text)
  if (scope === undefined) throw new InvalidArgumentError(`Give one of ${OPERATOR_SCOPES.join(', ')}.`)
  return before.includes(scope) ? before : [...before, scope]
}

/** For commander: the name of an operator. */
function nameArgument(text: string): string {
  if (text.length >= 1 && text.length <= limits.OPERATOR_NAME_CHARS_MAX) return text
  throw new InvalidArgumentError(`Give a name of 1 to ${limits.OPERATOR_NAME_CHARS_MAX} characters.`)
}

/** For commander: a life that the hub takes. */
function expiresArgument(text: string): number {
  const ms = durationArgument(text)
  if (ms <= limits.OPERATOR_TOKEN_TTL_MS_MAX) return ms
  throw new InvalidArgumentError(`Give at most ${limits.OPERATOR_TOKEN_TTL_MS_MAX / 86_400_000}d.`)
}
