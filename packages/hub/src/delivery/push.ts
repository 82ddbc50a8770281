/** What a stream is told when its agent's mailbox has changed: level by level, so that a lost change costs nothing. */
import { encodeCommands, type IssuedControl, type Revision } from '@downlink/protocol'
import { entriesToHandOut, isPushedToAny, issuedControl, takesVerbsOnce } from '../controls/lifecycle.ts'
import type { Mailbox } from '../controls/mailbox.ts'
import { notOvertaken } from '../controls/not-overtaken.ts'
import type { Pusher, Session } from './session.ts'

/** What the pushers of all streams need of the hub. */
export interface PushHub {
  readonly serviceMs: () => number
  /** An agent's mailbox as of the last decision, while any is on its way to the disk. */
  readonly decided: (agentId: string) => Mailbox | undefined
  readonly onSending: (agentId: string, controlIds: readonly string[]) => void
  readonly onWritten: (agentId: string, controlIds: readonly string[]) => void
}

/**
 * Makes a pusher for a session that has just been attached.
 * @param journalId - the journal that the stream's request named; a verb that must not be applied twice is pushed to no other.
 */
export function createPusher(hub: PushHub, session: Session, journalId: string | undefined): Pusher {
  return new MailboxPusher(hub, session, journalId)
}

const NO_TASKS: ReadonlySet<string> = new Set()

/** A class, as functions of each stream would weigh more than all that they know. */
class MailboxPusher implements Pusher {
  readonly #hub: PushHub
  readonly #session: Session
  readonly #journalId: string | undefined
  #version = -1
  /** Revisions of the controls, and the tasks, that this stream or a sync's reply has told of. */
  #toldControls: Map<string, Revision> | undefined
  #toldTasks = NO_TASKS

  constructor(hub: PushHub, session: Session, journalId: string | undefined) {
    this.#hub = hub
    this.#session = session
    this.#journalId = journalId
  }

  deliver({ mailbox, repliedControlIds, repliedTaskIds }: Parameters<Pusher['deliver']>[0]): void {
    const session = this.#session
    if (session.isEnded || mailbox.version < this.#version) return
    this.#version = mailbox.version
    const serviceMs = this.#hub.serviceMs()
    const waiting = mailbox.tasks.filter((task) => task.state === 'assigned').map((task) => task.taskId)
    const current = notOvertaken(
      entriesToHandOut(mailbox, serviceMs),
      mailbox,
      this.#hub.decided(session.agentId),
    )
    const fresh = current.filter((control) => !this.#isTold(control))
    const untold = fresh.filter((control) => repliedControlIds?.has(control.controlId) !== true)
    const pushed = untold.filter(this.#pushable(mailbox)).map((entry) => issuedControl(entry, serviceMs))
    this.#push(pushed)
    const hasNewTasks = waiting.some(
      (taskId) => !this.#toldTasks.has(taskId) && repliedTaskIds?.has(taskId) !== true,
    )
    if (pushed.length < untold.length || hasNewTasks) session.sendSync('wake')
    this.#noteTold(current, fresh)
    this.#toldTasks = waiting.length === 0 ? NO_TASKS : new Set(waiting)
  }

  #isTold({ controlId, epoch, revision }: IssuedControl): boolean {
    const told = this.#toldControls?.get(controlId)
    return told?.revision === revision && told.epoch === epoch
  }

  /** Takes over what has been told of now; `fresh` are those of `current` that had not been before. */
  #noteTold(current: readonly IssuedControl[], fresh: readonly IssuedControl[]): void {
    const isOnlyMore = current.length === (this.#toldControls?.size ?? 0) + fresh.length
    if (!isOnlyMore || current.length === 0) this.#toldControls = undefined
    for (const { controlId, epoch, revision } of isOnlyMore ? fresh : current) {
      this.#toldControls ??= new Map()
      this.#toldControls.set(controlId, { epoch, revision })
    }
  }

  #push(controls: readonly IssuedControl[]): void {
    if (controls.length === 0) return
    const frames = encodeCommands(controls)
    if (frames.length > 1 && controls.length > 1) {
      // One frame each, so that every frame has its own controls on record.
      for (const control of controls) this.#push([control])
      return
    }
    const { agentId } = this.#session
    const controlIds = controls.map((control) => control.controlId)
    this.#hub.onSending(agentId, controlIds)
    for (const bytes of frames)
      this.#session.send({ bytes, onWritten: () => this.#hub.onWritten(agentId, controlIds) })
  }

  #pushable(mailbox: Mailbox): (control: IssuedControl) => boolean {
    const { boot } = this.#session
    if (boot === undefined) return isPushedToOriginals
    const stream = { bootNonce: boot.bootNonce, journal: this.#journalId }
    return takesVerbsOnce(mailbox, stream) ? () => true : isPushedToAny
  }
}

/** An original applies a pushed cancel or pause; its resume only works with the task in `newTasks`, other verbs go out once. */
function isPushedToOriginals(control: IssuedControl): boolean {
  return control.action === 'cancel' || control.action === 'pause'
}
