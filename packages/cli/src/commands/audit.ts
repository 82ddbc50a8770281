/** `downlink audit`: who did what, and what became of it. */
import type { AuditFilter } from '@downlink/client'
import { field, isJsonObject, stringField, type AuditEntry, type Json } from '@downlink/protocol'
import type { Command } from 'commander'
import { resolve } from 'node:path'
import { openAuditExport } from '../audit-export.ts'
import type { CommandContext } from '../command-context.ts'
import { EXIT, type ExitCode } from '../exit-codes.ts'
import {
  durationArgument,
  withClient,
  withExample,
  withOperatorOptions,
  type OperatorFlags,
} from '../operator-command.ts'
import type { Cell } from '../output.ts'

interface AuditFlags extends OperatorFlags {
  readonly since?: number
  readonly control?: string
  readonly export?: string
}

const SINCE_MS_DEFAULT = 86_400_000

/** Adds the command. */
export function addAuditCommand(
  program: Command,
  run: (work: (context: CommandContext) => Promise<ExitCode>) => Promise<void>,
): void {
  const command = program
    .command('audit')
    .summary('show who did what, and what became of it')
    .description('Show the audit trail, oldest first: of one agent, or of everything.')
    .argument('[agent]', 'id of an agent')
    .option(
      '--since <duration>',
      'how far back, such as 1h or 7d; a day unless told, and everything for --export',
      durationArgument,
    )
    .option('--control <id>', 'only what happened to this control')
    .option(
      '--export <file>',
      'append all of it to a file, as lines of JSON; a second time it goes on where the file ends',
    )
  withOperatorOptions(command).action((agentId: string | undefined, flags: AuditFlags) =>
    run((context) => showAudit(context, agentId, flags)),
  )
  withExample(command, 'audit local --since 1h')
}

async function showAudit(
  context: CommandContext,
  agentId: string | undefined,
  flags: AuditFlags,
): Promise<ExitCode> {
  const { output, clock } = context
  const sinceMs = flags.since ?? (flags.export === undefined ? SINCE_MS_DEFAULT : undefined)
  const filter: AuditFilter = {
    ...(sinceMs === undefined ? {} : { since: new Date(clock.wallMs() - sinceMs) }),
    ...(agentId === undefined ? {} : { agentId }),
    ...(flags.control === undefined ? {} : { controlId: flags.control }),
  }
  const file = flags.export
  if (file !== undefined) return exportAudit(context, file, filter, flags)
  return withClient(context, flags, async (client) => {
    const rows: (readonly Cell[])[] = []
    for await (const entry of client.audit(filter)) {
      if (flags.json === true) output.json(entry)
      else rows.push(rowOf(entry))
    }
    if (flags.json === true) return EXIT.done
    if (rows.length === 0) output.line('Nothing happened in that time. Look further back with --since 7d')
    else output.table(['AT', 'WHAT', 'AGENT', 'TASK', 'BY', 'DETAILS'], rows)
    return EXIT.done
  })
}

async function exportAudit(
  context: CommandContext,
  file: string,
  filter: AuditFilter,
  flags: AuditFlags,
): Promise<ExitCode> {
  const { output, cwd } = context
  return withClient(context, flags, async (client) => {
    await using exported = await openAuditExport(resolve(cwd, file))
    const { after } = exported
    const { count, lastId } = await exported.append(
      client.audit({ ...filter, ...(after === undefined ? {} : { after }) }),
    )
    if (flags.json === true) output.json({ file, count, lastId })
    else output.line(`${count} facts were added to ${file}; the next export goes on from there.`)
    return EXIT.done
  })
}

function rowOf({ at, kind, agentId = '-', taskId = '-', data }: AuditEntry): readonly Cell[] {
  return [at, kind, agentId, taskId, whoOf(data) ?? '-', detailsOf(data)]
}

/** Whoever made a control, or did what is told of. */
function whoOf(data: Json): string | undefined {
  if (!isJsonObject(data)) return undefined
  const stamps = field(data, 'stamps')
  const created = isJsonObject(stamps) ? field(stamps, 'created') : undefined
  return stringField(isJsonObject(created) ? created : data, 'by', WORD_CHARS_MAX)
}

function detailsOf(data: Json): string {
  if (!isJsonObject(data)) return ''
  const outcome = field(data, 'outcome')
  const words = [
    stringField(data, 'action', WORD_CHARS_MAX),
    stringField(data, 'state', WORD_CHARS_MAX),
    isJsonObject(outcome) ? stringField(outcome, 'state', WORD_CHARS_MAX) : undefined,
    isJsonObject(outcome) ? stringField(outcome, 'code', WORD_CHARS_MAX) : undefined,
    stringField(data, 'kind', WORD_CHARS_MAX),
    stringField(data, 'reason', WORD_CHARS_MAX),
    stringField(data, 'keyId', WORD_CHARS_MAX),
  ]
  return words.filter((word) => word !== undefined).join(' ')
}

const WORD_CHARS_MAX = 256
