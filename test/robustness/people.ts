import net from 'node:net'
import process from 'node:process'
import {
  encodeCommand,
  HeartbeatData,
  type RemotingCommand,
  RequestCode,
  request
} from '../../src/protocol/index.ts'

/**
 * A crowd of clients in a process of their own: started by crowd.ts, which tells it what to be, and that it may go home. Says how many of
 * them stand, and when all have left.
 */
export type Role = 'idle' | 'neverReading' | 'holding' | 'halfFrames' | 'heartbeats'

export interface Order {
  role: Role
  port: number
  count: number
  topic: string
}

/** Connections opened at a time, so that the listen queue does not overflow. */
const OPENING_MAX = 200
const PULLS_OF_ONE = 10_000
/** Messages in queue 0 of the topic: pulls from behind them are held. */
export const FAT_MESSAGES = 10
const GROUPS_OF_ONE = 20

let sockets: net.Socket[] = []

async function open(port: number, count: number): Promise<void> {
  while (sockets.length < count) {
    const batch = Math.min(OPENING_MAX, count - sockets.length)
    await Promise.all(Array.from({ length: batch }, () => openOne(port)))
  }
}

function openOne(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    socket.once('connect', () => {
      socket.off('error', reject)
      socket.on('error', () => {})
      sockets.push(socket)
      resolve()
    })
    socket.once('error', reject)
  })
}

function frameOf(command: RemotingCommand): Buffer {
  return Buffer.concat(encodeCommand(command))
}

function pull(topic: string, opaque: number, offset: number, suspendMs: number): Buffer {
  const command = request(RequestCode.PULL_MESSAGE, {
    consumerGroup: 'crowd',
    topic,
    queueId: '0',
    queueOffset: String(offset),
    maxMsgNums: '32',
    sysFlag: suspendMs > 0 ? '6' : '4',
    commitOffset: '0',
    suspendTimeoutMillis: String(suspendMs),
    subscription: '*',
    subVersion: '0'
  })
  command.opaque = opaque
  return frameOf(command)
}

/** What each of the crowd does when it is there. */
const acts: Record<Role, (socket: net.Socket, order: Order, n: number) => void> = {
  idle: () => {},
  neverReading: (socket, { topic }) => {
    socket.pause()
    socket.write(
      Buffer.concat(Array.from({ length: 2_000 }, (_, opaque) => pull(topic, opaque, 0, 0)))
    )
  },
  holding: (socket, { topic }) => {
    socket.resume()
    const pulls = Array.from({ length: PULLS_OF_ONE }, (_, opaque) =>
      pull(topic, opaque, FAT_MESSAGES, 60_000)
    )
    socket.write(Buffer.concat(pulls))
  },
  halfFrames: (socket, _order, n) => {
    const frame = frameOf(request(RequestCode.SEND_MESSAGE_V2, { b: 'T' }, Buffer.alloc(60_000)))
    socket.write(frame.subarray(0, 1 + ((n * 977) % (frame.length - 1))))
  },
  heartbeats: (socket, _order, n) => {
    socket.resume()
    const body = HeartbeatData.encode(
      HeartbeatData.of({
        clientID: `client-${n}`,
        producerDataSet: Array.from({ length: GROUPS_OF_ONE }, (_, g) => ({
          groupName: `crowd-${(n * 7 + g) % 2_000}`
        }))
      })
    )
    socket.write(frameOf(request(RequestCode.HEART_BEAT, null, body)))
  }
}

process.on('message', (order: Order | 'leave') => {
  if (order === 'leave') {
    const leaving = sockets
    sockets = []
    for (const socket of leaving) socket.destroy()
    process.send!('left')
    return
  }
  open(order.port, order.count).then(
    () => {
      for (const [n, socket] of sockets.entries()) acts[order.role](socket, order, n)
      process.send!(`${sockets.length} stand`)
    },
    (error: Error) => process.send!(`failed with ${sockets.length}: ${error.message}`)
  )
})
process.on('disconnect', () => process.exit(0))
