/** The agent of the whole: the SDK with its journal on the disk, applying whatever it is told. HUB KEY FOLDER; says when its stream is open. */
import { createAgent, memoryCredential } from '@downlink/agent'
import { answerProfile, isProfileRequest } from './self-profile.ts'

const [hub = '', key = '', stateDirectory = ''] = process.argv.slice(2)
process.once('disconnect', () => process.exit())

const agent = createAgent({
  hubs: [hub],
  credential: memoryCredential(key),
  stateDirectory,
  onControl: () => undefined,
})
const streaming = new Promise<void>((resolve) => {
  agent.on('status', ({ status }) => {
    if (status.downlink === 'sse') resolve()
  })
})
process.on('message', (request: object) => {
  if (isProfileRequest(request)) void answerProfile(request)
  else void streaming.then(() => process.send?.({ streaming: true }))
})
void agent.run()
