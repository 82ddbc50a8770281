/** Sends back what comes on a raw socket: the round trip under everything that goes over loopback. */
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'

process.once('disconnect', () => process.exit())
const server = createServer((socket) => {
  socket.setNoDelay(true)
  socket.on('error', () => socket.destroy())
  socket.pipe(socket)
})
process.once('message', () => {
  server.listen(0, '127.0.0.1')
  void once(server, 'listening').then(() => process.send?.({ port: (server.address() as AddressInfo).port }))
})
