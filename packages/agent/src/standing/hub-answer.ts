/** Tells what hubs answer to calls that carry the credential, and repeats one that was overtaken by a new key. */
import { HttpError } from '@downlink/protocol'
import type { HubCall } from './standing-machine.ts'

/** An answer of a hub itself: a refusal with its error, or none. */
export interface HubAnswer {
  readonly call: HubCall
  readonly mirror: URL
  readonly refusal?: HttpError
}

/** What telling needs. */
export interface HubAnswerContext {
  credential(): string | undefined
  onAnswer(answer: HubAnswer): void
}

/**
 * Carries out one try of a call and tells how it was answered.
 * A key that was replaced while its request was under way is refused: such a request is sent once more, with the new one.
 */
export async function tellAnswer<T>(
  context: HubAnswerContext,
  call: HubCall,
  mirror: URL,
  attempt: () => Promise<T>,
): Promise<T> {
  const key = context.credential()
  try {
    const result = await attempt()
    context.onAnswer({ call, mirror })
    return result
  } catch (error) {
    if (!(error instanceof HttpError) || error.status < 400) throw error
    if (error.status === 401 && context.credential() !== key) {
      return tellAnswer(context, call, mirror, attempt)
    }
    context.onAnswer({ call, mirror, refusal: error })
    throw error
  }
}
