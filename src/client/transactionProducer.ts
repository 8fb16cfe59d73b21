import {
  MessageProperty,
  MessageSysFlag,
  parseOffsetMessageId,
  type RemotingCommand,
  RequestCode
} from '../protocol/index.ts'
import type { Connection } from '../remoting/index.ts'
import { asError, badArgument } from './errors.ts'
import { isDelayed, type Message } from './outgoing.ts'
import { Producer, type SendOptions } from './producer.ts'
import type { ProducerOptions } from './producerOptions.ts'
import { type ReceivedMessage, readMessages } from './received.ts'
import type { SendResult } from './sendRequest.ts'
import { pause } from './sleeper.ts'

/** How long the end of a transaction looks for a leader, ms; later the broker asks by itself. */
const END_WITHIN_MS = 5_000
const END_PAUSE_MS = 100
/** Questions of brokers that are worked on at a time; further ones come again. */
const CHECKS_MAX = 1_000

/** What becomes of a message in doubt. `unknown`: the broker asks later. */
export type TransactionVerdict = 'commit' | 'rollback' | 'unknown'

/** The sender's own transaction. What either function throws counts as `unknown`. */
export interface TransactionListener {
  /** The half message is stored: now do your part, and say how it ended. */
  executeLocal(
    message: Message,
    stored: SendResult
  ): TransactionVerdict | Promise<TransactionVerdict>
  /** A broker asks about a message without an end; the sender may have been another process of the group. */
  checkLocal(message: ReceivedMessage): TransactionVerdict | Promise<TransactionVerdict>
}

/** What a transaction producer takes; wrong values are refused with BAD_ARGUMENT. */
export interface TransactionProducerOptions extends ProducerOptions {
  /** The sender's own part of each transaction. */
  listener: TransactionListener
}

/** What became of a send in a transaction. */
export interface TransactionResult extends SendResult {
  /** What the listener said; the broker is told without waiting for an answer. */
  readonly verdict: TransactionVerdict
}

interface End {
  readonly topic: string
  readonly tags: string | null
  readonly keys: string | null
  readonly region: string | null
  readonly halfQueueOffset: string
  readonly commitLogOffset: string
  readonly messageId: string
  readonly transactionId: string | null
  readonly fromCheck: boolean
}

/**
 * A producer whose messages are delivered when its listener has said `commit` (broker.md 5.4). The broker stores such a message at once,
 * shows it to nobody, and asks any producer of the group about it when no end comes.
 */
export class TransactionProducer extends Producer {
  readonly #listener: TransactionListener
  #checking = 0

  constructor(options: TransactionProducerOptions) {
    super(options)
    this.#listener = options.listener
    this.instance.caller.remoting.onRequest(
      RequestCode.CHECK_TRANSACTION_STATE,
      (command, connection) => {
        this.#asked(command, connection)
        return null
      }
    )
  }

  /** Rejects when the half message could not be stored: then the listener was not called. */
  async sendInTransaction(message: Message, options: SendOptions = {}): Promise<TransactionResult> {
    if (isDelayed(message)) throw badArgument('a message in a transaction can not be delayed')
    const stored = await this.sendMarked(message, options, {
      sysFlag: MessageSysFlag.transactionPrepared,
      properties: {
        [MessageProperty.TRAN_MSG]: 'true',
        [MessageProperty.PGROUP]: this.group
      }
    })
    // Stored less safely than asked for: as the original, nothing is begun on it.
    const verdict =
      stored.status === 'SEND_OK'
        ? await this.#ask(() => this.#listener.executeLocal(message, stored))
        : 'rollback'
    const place = parseOffsetMessageId(stored.offsetMessageId)
    if (place !== null && verdict !== 'unknown')
      await this.#end(verdict, stored.queue.brokerName, null, {
        topic: this.instance.namespace.full(message.topic),
        tags: message.tag ?? null,
        keys: keysText(message.keys),
        region: null,
        halfQueueOffset: String(stored.queueOffset),
        commitLogOffset: String(place.physicalOffset),
        messageId: stored.messageId,
        transactionId: stored.messageId,
        fromCheck: false
      })
    return { ...stored, verdict }
  }

  async #ask(
    listener: () => TransactionVerdict | Promise<TransactionVerdict>
  ): Promise<TransactionVerdict> {
    try {
      return await listener()
    } catch (error) {
      this.instance.logger.warn('The listener of transactions failed: the broker will ask again', {
        group: this.group,
        error: asError(error).message
      })
      return 'unknown'
    }
  }

  /** CHECK_TRANSACTION_STATE (39): answered by an end of our own, over the connection that the question came by or its successor. */
  #asked(command: RemotingCommand, connection: Connection): void {
    if (this.#checking >= CHECKS_MAX) return
    this.#checking++
    this.#answer(command, connection)
      .catch((error: unknown) =>
        this.instance.logger.warn('A question about a transaction could not be answered', {
          group: this.group,
          error: asError(error).message
        })
      )
      .finally(() => {
        this.#checking--
      })
  }

  async #answer(command: RemotingCommand, connection: Connection): Promise<void> {
    const fields = command.extFields ?? {}
    // The body is a view of what the socket delivered.
    const [message] = readMessages(
      command.body === null ? null : Buffer.from(command.body),
      fields['bname'] ?? ''
    )
    if (message === undefined || message.properties.get(MessageProperty.PGROUP) !== this.group)
      return
    const [plain] = this.instance.namespace.plainMessages([message])
    const verdict = await this.#ask(() => this.#listener.checkLocal(plain ?? message))
    if (verdict === 'unknown') return
    await this.#end(verdict, fields['bname'] ?? null, connection.remoteAddress, {
      topic: message.topic,
      tags: message.tag,
      keys: keysText(message.keys),
      region: message.properties.get(MessageProperty.MSG_REGION) ?? null,
      halfQueueOffset: fields['tranStateTableOffset'] ?? '',
      commitLogOffset: fields['commitLogOffset'] ?? '',
      messageId: message.messageId,
      transactionId: fields['transactionId'] ?? null,
      fromCheck: true
    })
  }

  /** Hands the end to the leader, or to who asked; gives up quietly, because the broker asks (again). */
  async #end(
    verdict: 'commit' | 'rollback',
    brokerName: string | null,
    asker: string | null,
    end: End
  ): Promise<void> {
    const { caller, platform, logger } = this.instance
    const decision =
      verdict === 'commit' ? MessageSysFlag.transactionCommit : MessageSysFlag.transactionRollback
    const command = caller.command(
      RequestCode.END_TRANSACTION,
      {
        topic: end.topic,
        producerGroup: this.group,
        tranStateTableOffset: end.halfQueueOffset,
        commitLogOffset: end.commitLogOffset,
        commitOrRollback: decision,
        fromTransactionCheck: end.fromCheck,
        msgId: end.messageId,
        transactionId: end.transactionId,
        bname: brokerName
      },
      null
    )
    const untilMs = platform.clock.monotonicMs() + END_WITHIN_MS
    for (;;) {
      try {
        const address = asker ?? (await this.instance.leader(end.topic, brokerName ?? ''))
        await caller.sendOneway(address, command)
        this.#trace(verdict, end, address)
        return
      } catch (error) {
        if (this.instance.closed || platform.clock.monotonicMs() >= untilMs) {
          logger.warn('The end of a transaction could not be sent: the broker will ask', {
            group: this.group,
            error: asError(error).message
          })
          return
        }
        // Who asked is gone: whoever leads its group now takes the end as well.
        if (brokerName !== null) asker = null
        await pause(platform.clock, END_PAUSE_MS)
        await this.instance.routes.refresh(end.topic).catch(() => null)
      }
    }
  }

  #trace(verdict: 'commit' | 'rollback', end: End, storeHost: string): void {
    this.tracer?.ended({
      topic: this.instance.namespace.plain(end.topic),
      messageId: end.messageId,
      tags: end.tags,
      keys: end.keys,
      region: end.region,
      storeHost,
      transactionId: end.transactionId ?? end.messageId,
      verdict: verdict === 'commit' ? 'COMMIT_MESSAGE' : 'ROLLBACK_MESSAGE',
      fromCheck: end.fromCheck
    })
  }
}

/** As the property holds them. */
function keysText(keys: string | readonly string[] | undefined): string | null {
  if (keys === undefined || keys.length === 0) return null
  return typeof keys === 'string' ? keys : keys.join(' ')
}
