import type { Clock, Logger, Timer } from '../../platform/index.ts'
import { CommandFlag, ProtocolError, RETRY_PREFIX, type SendHeader } from '../../protocol/index.ts'
import type { Connection } from '../../remoting/index.ts'
import { APPEND_TIMEOUT_MS, type AppendFailure, type Store } from '../../store/index.ts'
import { type MessageIdentity, type StoredSend, sentMessages, storedSend } from './storedSend.ts'
import { BatchSendWaiter, SendWaiter } from './waiters.ts'

/** Messages that are remembered; further ones are not. */
const messagesMax = 65_536
/** Accuracy of the window, and of the patience of a repetition that waits for the first attempt. Ms. */
const lookPeriodMs = 250

/** A send whose sender was not told that it is stored. */
export class OpenSend {
  /** One, or those of a batch in their order. */
  readonly messages: readonly StoredSend[]
  /** Null: an earlier leader's. */
  readonly attempt: SendWaiter | null
  readonly untilMs: number
  isStored: boolean
  /** Its repetition, which gets the first attempt's answer. */
  waiting: SendWaiter | null = null
  waitsUntilMs = 0

  constructor(messages: readonly StoredSend[], attempt: SendWaiter | null, untilMs: number) {
    this.messages = messages
    this.attempt = attempt
    this.untilMs = untilMs
    this.isStored = attempt === null
  }
}

/** The way back to who repeated a send. */
export interface RepeatedSendOutcome {
  answer(send: SendWaiter): void
  fail(send: SendWaiter, reason: AppendFailure): void
  recallHandle(message: StoredSend): string | null
}

/**
 * Sends that may be repeated although they are stored, or will be (raft.md 4.14). Clients set UNIQ_KEY once in a message, so a second send
 * of the same object looks like a repetition of the first. What tells them apart is what the sender knows: only who was not told that his
 * message is stored repeats it. So nothing is remembered of a send that is answered, and a send is open when
 *
 *   · it took too long: the sender got an error, the entry may still be committed
 *   · its connection was closed before it was answered
 *   · its leader is gone: it lay in the log, and nobody had been told yet that it is committed
 *
 * The next send of the same topic, UNIQ_KEY and body is then the repetition, and gets the answer of the first: now, or when that is
 * stored. Costs nothing while nothing is open.
 */
export class OpenSends {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #store: Store
  readonly #outcome: RepeatedSendOutcome
  readonly #windowMs: () => number
  /** By topic and UNIQ_KEY; of a batch by those of its first message. */
  readonly #byName = new Map<string, OpenSend[]>()
  /** The oldest first. */
  #inOrder: OpenSend[] = []
  #messages = 0
  #timer: Timer | null = null
  #lookScheduled: boolean = false
  #full: boolean = false

  constructor(o: {
    clock: Clock
    logger: Logger
    store: Store
    outcome: RepeatedSendOutcome
    /** 0: nothing is remembered. */
    windowMs: () => number
  }) {
    this.#clock = o.clock
    this.#logger = o.logger
    this.#store = o.store
    this.#outcome = o.outcome
    this.#windowMs = o.windowMs
    o.store.onInherited(({ bytes, at, timeMs }) => {
      if (timeMs < o.store.timeMs() - this.#windowMs()) return
      const message = storedSend(bytes, at)
      if (message !== null) this.#remember([message], null)
    })
  }

  /** Messages of open sends. */
  get size(): number {
    return this.#messages
  }

  /** A connection was closed: what it waits for is looked at when the turn ends, once for all that closed in it. */
  closed(): void {
    this.#lookLater()
  }

  /** The sender was told that it takes too long. */
  tookTooLong(): void {
    this.#lookLater()
  }

  #lookLater(): void {
    if (this.#lookScheduled || this.#windowMs() === 0) return
    this.#lookScheduled = true
    this.#clock.turnEnd(() => {
      this.#lookScheduled = false
      this.#store.visitPending((waiter, bytes, at, late) => {
        if (!(waiter instanceof SendWaiter)) return false
        if (waiter.open === null && (late || waiter.connection.closed))
          this.#opened(waiter, bytes, at)
        return waiter.open !== null
      })
    })
  }

  #opened(waiter: SendWaiter, bytes: Buffer, at: number): void {
    if ((waiter.flag & CommandFlag.oneway) !== 0) return
    const messages: StoredSend[] = []
    let next = at
    for (let i = 0; i < (waiter instanceof BatchSendWaiter ? waiter.messages : 1); i++) {
      const message = storedSend(bytes, next)
      if (message === null) return
      messages.push(message)
      next += bytes.readInt32BE(next)
    }
    waiter.open = this.#remember(messages, waiter)
  }

  /** Stored, and its connection is closed. */
  unanswered(send: SendWaiter): void {
    if (this.#windowMs() === 0 || send instanceof BatchSendWaiter) return
    this.#store.messageAt(send.physicalOffset).then(
      bytes => {
        const message = bytes === null ? null : storedSend(bytes, 0)
        if (message !== null && this.#store.ready) this.#remember([message], null)
      },
      () => {}
    )
  }

  /** An open send is stored now. */
  stored(open: OpenSend): void {
    open.isStored = true
    const { waiting } = open
    if (waiting === null) return
    open.waiting = null
    if (waiting.connection.closed) return
    this.#answer([open], waiting)
  }

  /**
   * Takes a send that repeats an open one: it gets that one's answer. False: it repeats none. Topics of retries are left out: a message
   * that comes back there again and again keeps its key.
   */
  take(header: SendHeader, body: Buffer, connection: Connection): boolean {
    if ((header.commandFlag & CommandFlag.oneway) !== 0 || header.topic.startsWith(RETRY_PREFIX))
      return false
    const sent = messagesOf(header, body)
    const found = sent === null ? null : this.#find(sent)
    if (found === null) return false
    const [first] = found
    const { topic, queueId } = first!.messages[0]!
    const place = { topic, queueId, storedQueueId: queueId }
    const waiter = header.batch
      ? new BatchSendWaiter(this.#outcomeOf, connection, header, place, 0)
      : new SendWaiter(this.#outcomeOf, connection, header, place, 0)
    if (found.every(open => open.isStored)) {
      this.#answer(found, waiter)
      return true
    }
    first!.waiting = waiter
    first!.waitsUntilMs = this.#clock.monotonicMs() + APPEND_TIMEOUT_MS
    return true
  }

  /** This node leads no longer: what is open here is the next leader's to know. */
  clear(): void {
    const open = this.#inOrder
    this.#inOrder = []
    this.#byName.clear()
    this.#messages = 0
    this.#timer?.cancel()
    this.#timer = null
    for (const { waiting } of open) if (waiting !== null) this.#outcome.fail(waiting, 'notLeader')
  }

  /** A waiter of this kind is never given to the store. */
  readonly #outcomeOf = { stored: () => {}, failed: () => {}, storedLate: () => {} }

  #find(sent: readonly MessageIdentity[]): OpenSend[] | null {
    for (const open of this.#byName.get(sent[0]!.name) ?? []) {
      const free = open.waiting === null || open.waiting.connection.closed
      if (!free || !isSame(open.messages[0]!, sent[0]!)) continue
      if (open.messages.length === sent.length) {
        if (open.messages.every((message, i) => isSame(message, sent[i]!))) return [open]
      } else if (open.messages.length === 1 && open.isStored) {
        const all = this.#inheritedBatch(open, sent)
        if (all !== null) return all
      }
    }
    return null
  }

  /** In the log nothing says what was one batch, but its messages stand in their queue one behind the other. */
  #inheritedBatch(first: OpenSend, sent: readonly MessageIdentity[]): OpenSend[] | null {
    const found = [first]
    const { queueId, queueOffset } = first.messages[0]!
    for (let i = 1; i < sent.length; i++) {
      const next = this.#byName.get(sent[i]!.name)?.find(({ messages, isStored }) => {
        const [message] = messages
        return (
          isStored &&
          messages.length === 1 &&
          message!.queueId === queueId &&
          message!.queueOffset === queueOffset + i &&
          isSame(message!, sent[i]!)
        )
      })
      if (next === undefined) return null
      found.push(next)
    }
    return found
  }

  #answer(found: readonly OpenSend[], waiter: SendWaiter): void {
    const { attempt, messages } = found[0]!
    const message = messages[0]!
    const first = attempt ?? message
    waiter.queueOffset = first.queueOffset
    waiter.physicalOffset = first.physicalOffset
    waiter.storeTimestamp = first.storeTimestamp
    waiter.transactionId = message.isHalf ? message.key : null
    waiter.recallHandle = this.#outcome.recallHandle(message)
    if (waiter instanceof BatchSendWaiter)
      waiter.batchPhysicalOffsets =
        attempt?.batchPhysicalOffsets ?? found.map(open => open.messages[0]!.physicalOffset)
    for (const open of found) this.#forget(open)
    this.#logger.debug('Repeated send answered with its first result', {
      topic: message.topic,
      key: message.key
    })
    this.#outcome.answer(waiter)
  }

  #remember(messages: readonly StoredSend[], attempt: SendWaiter | null): OpenSend | null {
    const windowMs = this.#windowMs()
    if (windowMs === 0) return null
    if (this.#messages + messages.length > messagesMax) {
      if (!this.#full)
        this.#logger.warn('More sends without an answer than are remembered', { messagesMax })
      this.#full = true
      return null
    }
    const open = new OpenSend(messages, attempt, this.#clock.monotonicMs() + windowMs)
    const { name } = messages[0]!
    const others = this.#byName.get(name)
    if (others === undefined) this.#byName.set(name, [open])
    else others.push(open)
    this.#inOrder.push(open)
    this.#messages += messages.length
    this.#timer ??= this.#clock.every(lookPeriodMs, () => this.#look())
    return open
  }

  #forget(open: OpenSend): void {
    const { name } = open.messages[0]!
    const others = this.#byName.get(name)
    const at = others?.indexOf(open) ?? -1
    if (others === undefined || at < 0) return
    others.splice(at, 1)
    if (others.length === 0) this.#byName.delete(name)
    this.#messages -= open.messages.length
  }

  #look(): void {
    const nowMs = this.#clock.monotonicMs()
    const kept: OpenSend[] = []
    for (const open of this.#inOrder) {
      const { waiting } = open
      if (waiting !== null && open.waitsUntilMs <= nowMs) {
        open.waiting = null
        this.#outcome.fail(waiting, 'timeout')
      }
      if (open.untilMs <= nowMs && open.waiting === null) this.#forget(open)
      else if (this.#byName.get(open.messages[0]!.name)?.includes(open) === true) kept.push(open)
    }
    this.#inOrder = kept
    if (kept.length > 0) return
    this.#full = false
    this.#timer?.cancel()
    this.#timer = null
  }
}

function messagesOf(header: SendHeader, body: Buffer): MessageIdentity[] | null {
  try {
    return sentMessages(header, body)
  } catch (error) {
    // The general way says what is wrong with it.
    if (error instanceof ProtocolError) return null
    throw error
  }
}

function isSame(a: MessageIdentity, b: MessageIdentity): boolean {
  return a.name === b.name && a.bodyBytes === b.bodyBytes && a.bodyCrc === b.bodyCrc
}
