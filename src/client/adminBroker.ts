import {
  BrokerStatsData,
  ConsumeStatsList,
  configText,
  KVTable,
  ProducerTableInfo,
  parsePropertiesFile,
  RaftAnswerBody,
  RaftRequestCode,
  RaftStatusBody,
  RequestCode,
  ResponseCode,
  SetMessageRequestModeRequestBody
} from '../protocol/index.ts'
import type * as Answers from './adminAnswers.ts'
import { readBody } from './bodies.ts'
import { isRefusal } from './errors.ts'
import type { ClientInstance } from './instance.ts'

/** What single brokers are asked: remoting.md 2.15. */
export class BrokerAdmin {
  readonly #instance: ClientInstance

  constructor(instance: ClientInstance) {
    this.#instance = instance
  }

  /** SET_MESSAGE_REQUEST_MODE (401): how clients of 5.x read a topic for a group; `popShareQueueNum` of them share a queue, up to 0 all. */
  async setRequestMode(broker: string, mode: Answers.MessageRequestMode): Promise<void> {
    const body = SetMessageRequestModeRequestBody.encode(mode)
    await this.#instance.caller.ask(broker, RequestCode.SET_MESSAGE_REQUEST_MODE, {}, { body })
  }

  /** GET_BROKER_RUNTIME_INFO (28): names and values of mqadmin.md part 8. */
  async runtimeInfo(broker: string): Promise<ReadonlyMap<string, string>> {
    const answer = await this.#instance.caller.ask(broker, RequestCode.GET_BROKER_RUNTIME_INFO)
    return readBody(KVTable, answer.body, broker).table
  }

  /** GET_BROKER_CONFIG (26), in the broker's order. */
  async config(broker: string): Promise<ReadonlyMap<string, string>> {
    const answer = await this.#instance.caller.ask(broker, RequestCode.GET_BROKER_CONFIG)
    return parsePropertiesFile(answer.body?.toString('utf8') ?? '').entries
  }

  /** UPDATE_BROKER_CONFIG (25): takes effect at once where the setting allows it. */
  async updateConfig(broker: string, key: string, value: string): Promise<void> {
    const body = Buffer.from(configText([[key, value]]), 'utf8')
    await this.#instance.caller.ask(broker, RequestCode.UPDATE_BROKER_CONFIG, {}, { body })
  }

  /** VIEW_BROKER_STATS_DATA (315); null when nothing was counted under this name yet. */
  async stats(
    broker: string,
    statsName: string,
    statsKey: string
  ): Promise<Answers.BrokerStatsData | null> {
    try {
      const answer = await this.#instance.caller.ask(broker, RequestCode.VIEW_BROKER_STATS_DATA, {
        statsName,
        statsKey
      })
      return readBody(BrokerStatsData, answer.body, broker)
    } catch (error) {
      if (isRefusal(error, ResponseCode.SYSTEM_ERROR)) return null
      throw error
    }
  }

  /** GET_BROKER_CONSUME_STATS (317): how far all groups are at this broker. */
  async consumeStats(
    broker: string,
    isOrder: boolean,
    timeoutMs: number
  ): Promise<Answers.ConsumeStatsList> {
    const code = RequestCode.GET_BROKER_CONSUME_STATS
    const answer = await this.#instance.caller.ask(broker, code, { isOrder }, { timeoutMs })
    return readBody(ConsumeStatsList, answer.body, broker)
  }

  /** GET_ALL_PRODUCER_INFO (328), by producer group. */
  async producers(broker: string): Promise<ReadonlyMap<string, readonly Answers.ProducerInfo[]>> {
    const answer = await this.#instance.caller.ask(broker, RequestCode.GET_ALL_PRODUCER_INFO)
    return readBody(ProducerTableInfo, answer.body, broker).data
  }

  /** RAFT_STATUS: the broker's group as this node sees it. */
  async raftStatus(broker: string): Promise<Answers.RaftStatus> {
    const answer = await this.#instance.caller.ask(broker, RaftRequestCode.RAFT_STATUS)
    return readBody(RaftStatusBody, answer.body, broker)
  }

  /** RAFT_CHANGE_MEMBER: any node of the group will do. What the leader refuses is an answer, not an error. */
  async raftChangeMember(
    broker: string,
    change: { op: 'add' | 'remove' | 'update'; id: string; raftAddr?: string; priority?: number }
  ): Promise<Answers.RaftAnswer> {
    const { op, id, raftAddr, priority } = change
    const fields = {
      op,
      id,
      ...(raftAddr === undefined ? {} : { raftAddr }),
      ...(priority === undefined ? {} : { priority })
    }
    return this.#raft(broker, RaftRequestCode.RAFT_CHANGE_MEMBER, fields)
  }

  /** RAFT_TRANSFER_LEADER; '': to the best follower. */
  raftTransferLeader(broker: string, id: string): Promise<Answers.RaftAnswer> {
    return this.#raft(broker, RaftRequestCode.RAFT_TRANSFER_LEADER, { id })
  }

  /** RAFT_FORCE_RECOVER: holds for this node only. */
  raftForceRecover(broker: string, ids: readonly string[]): Promise<Answers.RaftAnswer> {
    return this.#raft(broker, RaftRequestCode.RAFT_FORCE_RECOVER, { ids: ids.join() })
  }

  async #raft(
    broker: string,
    code: number,
    fields: Record<string, string | number>
  ): Promise<Answers.RaftAnswer> {
    const answer = await this.#instance.caller.ask(broker, code, fields)
    return readBody(RaftAnswerBody, answer.body, broker)
  }

  /** CLEAN_EXPIRED_CONSUMEQUEUE (306). */
  async cleanExpiredConsumeQueues(broker: string): Promise<void> {
    await this.#instance.caller.ask(broker, RequestCode.CLEAN_EXPIRED_CONSUMEQUEUE)
  }

  /** CLEAN_UNUSED_TOPIC (316). */
  async cleanUnusedTopics(broker: string): Promise<void> {
    await this.#instance.caller.ask(broker, RequestCode.CLEAN_UNUSED_TOPIC)
  }

  /** DELETE_EXPIRED_COMMITLOG (329). */
  async deleteExpiredCommitLog(broker: string): Promise<void> {
    await this.#instance.caller.ask(broker, RequestCode.DELETE_EXPIRED_COMMITLOG)
  }
}
