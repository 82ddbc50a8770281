/** Operators who press a button at a steady rate, whether the hub is there or not, and write down what became of each. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AskedControl } from './audit-checker.ts'
import { planPress, press, type HubAddress, type Issued } from './operator.ts'

/** Who presses, and what for. */
export interface FleetOperators {
  readonly operators: readonly (HubAddress & { readonly name: string })[]
  readonly agentIds: readonly string[]
  /** Tasks of the hub that every agent runs. */
  readonly verbTasks: readonly string[]
}

/** A button that was pressed, and what was made of it. */
export interface FleetPress extends AskedControl {
  readonly issued: Issued | undefined
}

/** One in so many asks once and never again: whether a control was made of that, only the trail can say. */
const HASTY = 10
/** Some agents get many controls and most get few, so that some lanes are always contended. */
const SKEW = 3

/**
 * Presses `rate` buttons a second from the seed's sequence until the signal aborts, and waits for the last answer.
 * A press does not wait for the one before: what was not answered is repeated under its own key meanwhile, by most.
 */
export async function pressSteadily(
  { operators, agentIds, verbTasks }: FleetOperators,
  { rate, random }: { readonly rate: number; readonly random: () => number },
  signal: AbortSignal,
): Promise<readonly FleetPress[]> {
  const pressed: Promise<FleetPress>[] = []
  const startMs = performance.now()
  for (let number = 1; !signal.aborted; number++) {
    const operator = operators[Math.floor(random() * operators.length)]
    const agentId = agentIds[Math.floor(random() ** SKEW * agentIds.length)]
    if (operator === undefined || agentId === undefined)
      throw new Error('Give an operator and an agent at least.')
    const { taskId, body } = planPress(number, verbTasks, random)
    // The trail is to say which request made it.
    const wanted = { number, taskId, body: { ...body, args: { number } } }
    const asked = { number, operator: operator.name, agentId, taskId, action: body.action }
    pressed.push(
      press(operator, agentId, wanted, number % HASTY === 0 ? 0 : undefined).then(
        (issued) => ({ ...asked, issued, answer: issued === undefined ? 'refused' : 'accepted' }),
        () => ({ ...asked, issued: undefined, answer: 'unanswered' }),
      ),
    )
    await sleep(Math.max(0, startMs + (number * 1_000) / rate - performance.now()))
  }
  return Promise.all(pressed)
}
