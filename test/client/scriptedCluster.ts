import type { Test } from 'tap'
import { createRealPlatform, silentLogger } from '../../src/platform/index.ts'
import {
  type RemotingCommand,
  RequestCode,
  response,
  TopicRouteData
} from '../../src/protocol/index.ts'
import { RemotingServer } from '../../src/remoting/index.ts'

const { clock, network } = createRealPlatform()

export type Answer = (request: RemotingCommand) => RemotingCommand | null

/** A broker that answers sends as the script says, and keeps what it got. */
export class ScriptedBroker {
  readonly sends: RemotingCommand[] = []
  readonly requests: RemotingCommand[] = []
  answer: Answer = stored
  server: RemotingServer

  constructor(t: Test) {
    this.server = new RemotingServer({
      clock,
      network,
      logger: silentLogger,
      host: '127.0.0.1',
      port: 0
    })
    this.server.handleDefault(request => {
      this.requests.push(request)
      return response(0)
    })
    for (const code of [RequestCode.SEND_MESSAGE_V2, RequestCode.SEND_BATCH_MESSAGE]) {
      this.server.handle(code, request => {
        this.sends.push(request)
        return this.answer(request)
      })
    }
    t.teardown(() => this.server.stop())
  }

  get address(): string {
    return `127.0.0.1:${this.server.port}`
  }
}

/** "Stored", at the offset that the number of requests so far gives. */
let stores = 0
export const stored: Answer = request => {
  const queueOffset = String(stores)
  const count = request.extFields?.['m'] === 'true' ? batchCount(request.body!) : 1
  const ids = Array.from({ length: count }, (_, i) =>
    (stores + i).toString(16).toUpperCase().padStart(32, '0')
  )
  stores += count
  const queueId = request.extFields!['e']!
  return response(0, null, { msgId: ids.join(','), queueId, queueOffset })
}

function batchCount(body: Buffer): number {
  let count = 0
  for (let at = 0; at < body.length; at += body.readInt32BE(at)) count++
  return count
}

/** Refuses with a code and a remark. */
export function refuse(code: number, remark = 'scripted'): Answer {
  return () => response(code, remark)
}

/** A name server of one topic on one broker group whose leader the test names. */
export class ScriptedNameServer {
  readonly server: RemotingServer
  /** Address of id 0; null: there is no leader. */
  leader: string | null = null
  /** What the topic is called; others are answered with 17. */
  topic = 'T'
  asked = 0

  constructor(t: Test) {
    this.server = new RemotingServer({
      clock,
      network,
      logger: silentLogger,
      host: '127.0.0.1',
      port: 0
    })
    this.server.handle(RequestCode.GET_ROUTEINFO_BY_TOPIC, request => {
      this.asked++
      const name = request.extFields!['topic']
      if (name !== this.topic && name !== 'TBW102') {
        return response(17, `No topic route info in name server for the topic: ${name}`)
      }
      return response(0, null, null, this.#route())
    })
    t.teardown(() => this.server.stop())
  }

  get address(): string {
    return `127.0.0.1:${this.server.port}`
  }

  #route(): Buffer {
    const brokerAddrs = new Map(this.leader === null ? [] : [[0, this.leader]])
    return TopicRouteData.encode({
      brokerDatas: [{ brokerAddrs, brokerName: 'b', cluster: 'C', enableActingMaster: false }],
      filterServerTable: new Map(),
      queueDatas: [
        { brokerName: 'b', perm: 6, readQueueNums: 4, topicSysFlag: 0, writeQueueNums: 4 }
      ]
    })
  }
}

export async function scripted(
  t: Test,
  brokers: number
): Promise<{ nameServer: ScriptedNameServer; brokers: ScriptedBroker[] }> {
  const nameServer = new ScriptedNameServer(t)
  const all = Array.from({ length: brokers }, () => new ScriptedBroker(t))
  await nameServer.server.start()
  await Promise.all(all.map(broker => broker.server.start()))
  nameServer.leader = all[0]!.address
  return { nameServer, brokers: all }
}
