/** A server that takes whatever comes and keeps all of it: what must never be sent there. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A server that records. */
export interface Recorder extends AsyncDisposable {
  readonly port: number
  readonly connections: () => number
  /** Everything that it was sent. */
  readonly text: () => string
}

/** Starts one that says nothing, or, with `tunnelTo`, makes a tunnel to that port of this machine for whoever asks for one. */
export async function startRecorder(tunnelTo?: number): Promise<Recorder> {
  const sockets = new Set<Socket>()
  let connections = 0
  let text = ''
  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    return socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  }
  const server = createServer((socket) => {
    connections += 1
    keep(socket).on('data', (bytes: Buffer) => (text += bytes.toString('latin1')))
    if (tunnelTo === undefined) return
    socket.once('data', () => {
      const onward = keep(connect(tunnelTo, '127.0.0.1'))
      onward.once('connect', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
        socket.pipe(onward).pipe(socket)
      })
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    text: () => text,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
