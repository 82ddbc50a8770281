/** Says where the audit trail does not agree with what operators asked for and what they were told in the end. Pure. */
import { STAMP_NAMES, type AuditEntry, type ControlRecord } from '@downlink/protocol'

/** A control that an operator asked for. Its number travels in its arguments. */
export interface AskedControl {
  readonly number: number
  readonly operator: string
  readonly agentId: string
  readonly taskId: string
  readonly action: string
  /** `unanswered`: the reply was lost for good, so it may have been made, once. */
  readonly answer: 'accepted' | 'refused' | 'unanswered'
}

/** What there is to compare. */
export interface AuditEvidence {
  readonly asked: readonly AskedControl[]
  /** What the hub says in the end of those that were accepted. */
  readonly records: readonly ControlRecord[]
  /** The whole trail, as it is listed. */
  readonly entries: readonly AuditEntry[]
}

/** The number of the request that a control was made of; 0 if it carries none. */
export function numberOf({ args }: ControlRecord): number {
  return (args as { number?: number } | null)?.number ?? 0
}

/** Everything that does not agree; empty if all does. */
export function auditViolations(evidence: AuditEvidence): readonly string[] {
  const trails = Map.groupBy(
    evidence.entries.filter(({ kind }) => kind.startsWith('control.')),
    ({ controlId = '' }) => controlId,
  )
  return [
    ...listing(evidence.entries),
    ...[...trails].flatMap(([controlId, trail]) => ofOneControl(controlId, trail)),
    ...askedFor(evidence, trails),
    ...settledAsSaid(evidence, trails),
    ...evidence.records.flatMap(stampOrder),
  ]
}

type Trails = ReadonlyMap<string, readonly AuditEntry[]>

function listing(entries: readonly AuditEntry[]): string[] {
  return entries.flatMap(({ id, kind }, index) => {
    const before = entries[index - 1]
    if (before === undefined || Number(id) > Number(before.id)) return []
    return [`audit: entry ${id} (${kind}) is listed behind ${before.id}`]
  })
}

/** Created once and first; settled at most once; nothing else before it is made. */
function ofOneControl(controlId: string, trail: readonly AuditEntry[]): string[] {
  const count = (kind: string): number => trail.filter((entry) => entry.kind === kind).length
  const said = trail.map(({ kind }) => kind).join(', ')
  const wrong: string[] = []
  if (count('control.created') !== 1 || trail[0]?.kind !== 'control.created')
    wrong.push(`audit: ${controlId} must be created once, and first; the trail has ${said}`)
  if (count('control.settled') > 1) wrong.push(`audit: ${controlId} was settled twice: ${said}`)
  if (trail.some(({ at }, index) => Date.parse(at) < Date.parse(trail[index - 1]?.at ?? at)))
    wrong.push(
      `audit: ${controlId} goes back in time: ${trail.map(({ kind, at }) => `${kind} ${at}`).join(', ')}`,
    )
  return wrong
}

/** Whatever was accepted stands there once, as its operator's; nothing stands there that nobody asked for, or that was refused. */
function askedFor({ asked, records }: AuditEvidence, trails: Trails): string[] {
  const byNumber = new Map(asked.map((control) => [control.number, control]))
  const made = new Map<number, string>()
  const wrong: string[] = []
  for (const [controlId, [first]] of trails) {
    const record = first?.data as unknown as ControlRecord
    const number = numberOf(record)
    const control = byNumber.get(number)
    const before = made.get(number)
    made.set(number, controlId)
    if (control === undefined) {
      wrong.push(`audit: nobody asked for ${record.action} ${record.taskId} (${controlId})`)
      continue
    }
    if (control.answer === 'refused') wrong.push(`audit: ${controlId} was refused, and is on the trail`)
    if (before !== undefined) wrong.push(`audit: ${controlId} and ${before} are of one request`)
    const asWanted = [control.operator, control.agentId, control.action, control.taskId].join(' ')
    const asMade = [record.stamps.created?.by, record.agentId, record.action, record.taskId].join(' ')
    if (asMade !== asWanted) wrong.push(`audit: ${controlId} is said to be ${asMade}; it was ${asWanted}`)
  }
  for (const { controlId } of records)
    if (!trails.has(controlId)) wrong.push(`audit: ${controlId} was accepted, and is not on the trail`)
  for (const { number, answer } of asked)
    if (answer === 'accepted' && !made.has(number))
      wrong.push(`audit: request ${number} was accepted, and is not on the trail`)
  return wrong
}

/** Each settled control has one outcome, the one that operators are told. */
function settledAsSaid({ records }: AuditEvidence, trails: Trails): string[] {
  return records.flatMap(({ controlId, outcome }) => {
    const settled = trails.get(controlId)?.find(({ kind }) => kind === 'control.settled')
    const isSettled = outcome.state !== 'pending' && outcome.state !== 'delivered'
    if (settled === undefined)
      return isSettled ? [`audit: ${controlId} is ${outcome.state}, and the trail does not say so`] : []
    const onTrail = (settled.data as unknown as ControlRecord).outcome
    if (JSON.stringify(onTrail) === JSON.stringify(outcome)) return []
    return [`audit: ${controlId} is ${JSON.stringify(outcome)}, on the trail ${JSON.stringify(onTrail)}`]
  })
}

/** Created, written, received, applied, observed: in this order. */
function stampOrder({ controlId, stamps }: ControlRecord): string[] {
  const told = STAMP_NAMES.flatMap((name) => {
    const stamp = stamps[name]
    return stamp === undefined ? [] : [{ name, ...stamp }]
  })
  const wrong = told.flatMap(({ name, at }, index) => {
    const before = told[index - 1]
    if (before === undefined || Date.parse(before.at) <= Date.parse(at)) return []
    return [`audit: ${controlId} was ${name} ${at}, before it was ${before.name} ${before.at}`]
  })
  return stamps.created === undefined ? [...wrong, `audit: ${controlId} has no stamp of its making`] : wrong
}
