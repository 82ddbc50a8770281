/** The processes of the idle bench, in plain JavaScript, as nothing of the bench may weigh on them: `empty`, or `agent URL KEY`. */
const [subject, url, key] = process.argv.slice(2)
// Both are alive for a timer alone.
setInterval(() => {}, 2 ** 31 - 1)
if (subject === 'agent') {
  const { createAgent, memoryCredential } = await import('@downlink/agent')
  const agent = createAgent({ hubs: [url], credential: memoryCredential(key), onControl: () => {} })
  agent.on('status', ({ status }) => {
    if (status.downlink === 'sse') console.log('ready')
  })
  void agent.run()
} else {
  console.log('ready')
}
