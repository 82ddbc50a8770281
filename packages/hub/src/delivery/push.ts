/** What a stream is told when its agent's mailbox has changed: level by level, so that a lost change costs nothing. */
import { encodeCommands, type IssuedControl } from '@downlink/protocol'
import { controlsToHandOut, controlsToPush } from '../controls/lifecycle.ts'
import type { MailboxChange } from '../controls/mailbox-changes.ts'
import type { Mailbox } from '../controls/mailbox.ts'
import { notOvertaken } from '../controls/not-overtaken.ts'
import type { Session } from './session.ts'

/** What a pusher needs of the hub. */
export interface PusherOptions {
  readonly session: Session
  /** The journal that the stream's request named; a verb that must not be applied twice is pushed to no other. */
  readonly journalId: string | undefined
  readonly serviceMs: () => number
  /** The mailbox as of the last decision, while any is on its way to the disk. */
  readonly decided: () => Mailbox | undefined
  readonly onSending: (controlIds: readonly string[]) => void
  readonly onWritten: (controlIds: readonly string[]) => void
}

/** Tells one stream about one mailbox. */
export interface Pusher {
  /** Pushes what the stream has not been told; a mailbox older than one already seen is ignored. */
  deliver(change: Pick<MailboxChange, 'mailbox'> & Partial<MailboxChange>): void
}

/** Makes a pusher for a session that has just been attached. */
export function createPusher(options: PusherOptions): Pusher {
  const { session, serviceMs, decided } = options
  let version = -1
  /** Revisions of the controls, and the tasks, that this stream or a sync's reply has told of. */
  let toldControls = new Map<string, string>()
  let toldTasks = new Set<string>()

  function push(controls: readonly IssuedControl[]): void {
    if (controls.length === 0) return
    const frames = encodeCommands(controls)
    if (frames.length > 1 && controls.length > 1) {
      // One frame each, so that every frame has its own controls on record.
      for (const control of controls) push([control])
      return
    }
    const controlIds = controls.map((control) => control.controlId)
    options.onSending(controlIds)
    for (const bytes of frames) session.send({ bytes, onWritten: () => options.onWritten(controlIds) })
  }

  function pushable(mailbox: Mailbox): ReadonlySet<string> {
    const controls =
      session.boot === undefined
        ? controlsToHandOut(mailbox, serviceMs()).filter(isPushedToOriginals)
        : controlsToPush(mailbox, serviceMs(), {
            bootNonce: session.boot.bootNonce,
            journal: options.journalId,
          })
    return new Set(controls.map((control) => control.controlId))
  }

  return {
    deliver({ mailbox, repliedControlIds, repliedTaskIds }) {
      if (session.isEnded || mailbox.version < version) return
      version = mailbox.version
      const waiting = mailbox.tasks.filter((task) => task.state === 'assigned').map((task) => task.taskId)
      const current = notOvertaken(controlsToHandOut(mailbox, serviceMs()), mailbox, decided())
      const untold = current.filter(
        (control) =>
          toldControls.get(control.controlId) !== revisionOf(control) &&
          repliedControlIds?.has(control.controlId) !== true,
      )
      const allowed = pushable(mailbox)
      const pushed = untold.filter((control) => allowed.has(control.controlId))
      push(pushed)
      const hasNewTasks = waiting.some(
        (taskId) => !toldTasks.has(taskId) && repliedTaskIds?.has(taskId) !== true,
      )
      if (pushed.length < untold.length || hasNewTasks) session.sendSync('wake')
      toldControls = new Map(current.map((control) => [control.controlId, revisionOf(control)]))
      toldTasks = new Set(waiting)
    },
  }
}

/** An original applies a pushed cancel or pause; its resume only works with the task in `newTasks`, other verbs go out once. */
function isPushedToOriginals(control: IssuedControl): boolean {
  return control.action === 'cancel' || control.action === 'pause'
}

function revisionOf(control: IssuedControl): string {
  return `${control.epoch}.${control.revision}`
}
