/** Everything below /downlink is the hub's, but for the agents' stream; they ask by long-poll. */
import { openHub } from '../../../hub.js'

export const dynamic = 'force-dynamic' // nothing of it is a page that could be kept

async function handle(request) {
  const hub = await openHub()
  return hub.fetch(request)
}

export { handle as GET, handle as POST, handle as DELETE }
