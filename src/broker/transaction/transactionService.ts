import type { Timer } from '../../platform/index.ts'
import { SystemTopic } from '../../protocol/index.ts'
import type { Connection } from '../../remoting/index.ts'
import type { TransactionInDoubt } from '../../store/index.ts'
import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { newTopic } from '../topics/index.ts'
import { AbsentGroups } from './absentGroups.ts'
import { CheckProducers, checkCommand } from './checkProducers.ts'
import { DueQueue } from './dueQueue.ts'
import { Endings } from './endings.ts'
import { endTransaction } from './endTransaction.ts'
import { givenUpMessage, type HalfMessage, readHalf } from './halfMessage.ts'
import { resumeCheck } from './resumeCheck.ts'

/** Checks of one entry of the log. */
const checksMax = 64
/** Half messages that are held for their checks; the first always goes. */
const checkBytesMax = 1_048_576
/** Until something that could not be done now is looked at again, ms. */
const retryMs = 200
/** The time of the log draws near to the wall clock, so no wait is longer, ms. */
const sleepMsMax = 5_000
/** Entries of the queue for ended transactions are dropped when they are more than those in doubt and this. */
const staleMax = 4_096

interface DueCheck {
  readonly half: HalfMessage
  readonly times: number
}

/**
 * Transactions on the leader: their ends, and the questions about those that stay in doubt (broker.md 5.4). Which are in doubt is replicated
 * state; this is only the order in which they fall due, made anew with each leadership.
 *
 *   in doubt ── transactionTimeOut ──▶ check counted in the log ──▶ asked ── transactionCheckInterval ──▶ counted …
 *      ├── end ──▶ message and mark in one entry                        └── transactionCheckMax, or fileReservedTime ──▶ given up
 *
 * A check is counted before it is sent, by number: no two leaders ask the same question, and one that was ended meanwhile is not asked about.
 * While its group has no producer here a transaction only waits, for as long as its remaining checks would take.
 */
export class TransactionService {
  readonly #broker: BrokerContext
  readonly #endings: Endings
  readonly #producers: CheckProducers
  readonly #due = new DueQueue()
  readonly #absent: AbsentGroups
  #timer: Timer | null = null
  #timerDueMs = Number.POSITIVE_INFINITY
  /** Monotonic: ends that were held up by the change of leaders come first. */
  #notBeforeMs = 0
  /** Wall clock: since when producers could come to this leader. */
  #leadsSinceMs = 0
  #running: boolean = false
  #pumping: boolean = false
  /** Of the leadership that the service works for; whoever awaited something under an older one stops. */
  #generation = 0

  constructor(broker: BrokerContext) {
    this.#broker = broker
    this.#endings = new Endings(broker)
    this.#producers = new CheckProducers(broker)
    const { store } = broker
    this.#absent = new AbsentGroups(broker.platform.clock, {
      timeMs: () => store.timeMs(),
      isThere: group => this.#producers.isThere(group),
      release: physicalOffset => this.#due.add(store.timeMs(), physicalOffset),
      released: () => this.#arm()
    })
    broker.store.onTransactions(opened => this.#opened(opened))
    broker.config.onChange(changed => {
      if (this.#running && changed.some(name => name.startsWith('transaction'))) this.#refill()
    })
  }

  handlers(): Handler[] {
    return [endTransaction(this.#endings), resumeCheck]
  }

  /** This node leads now and has applied everything before. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#generation++
    const { transactionTimeOut, forwardHoldMillis, forwardTimeoutMillis } =
      this.#broker.config.values
    const graceMs = Math.min(transactionTimeOut, forwardHoldMillis + forwardTimeoutMillis)
    const { clock } = this.#broker.platform
    this.#notBeforeMs = clock.monotonicMs() + graceMs
    this.#leadsSinceMs = this.#broker.store.timeMs()
    this.#refill()
  }

  stop(): void {
    this.#running = false
    this.#generation++
    this.#timer?.cancel()
    this.#timer = null
    this.#due.clear()
    this.#absent.clear()
  }

  #opened(opened: readonly TransactionInDoubt[]): void {
    if (!this.#running) return
    for (const transaction of opened)
      this.#due.add(this.#dueMs(transaction), transaction.physicalOffset)
    if (this.#due.size > 2 * this.#broker.store.tables.transactions.size + staleMax) this.#refill()
    else this.#arm()
    this.#ensureTopic(SystemTopic.TRANS_HALF).catch((error: unknown) =>
      this.#broker.logger.warn(
        'The topic of half messages was not made, it follows with the next',
        {
          reason: reasonOf(error)
        }
      )
    )
  }

  async #ensureTopic(topic: string): Promise<void> {
    if (this.#broker.topics.find(topic) === undefined)
      await this.#broker.topics.ensure(newTopic(topic, 1))
  }

  #refill(): void {
    this.#due.clear()
    this.#absent.clear()
    for (const transaction of this.#broker.store.tables.transactions.values())
      this.#due.add(this.#dueMs(transaction), transaction.physicalOffset)
    this.#arm()
  }

  /** Wall clock. By the store time, which a producer's clock has no part in. */
  #dueMs(transaction: TransactionInDoubt): number {
    const { transactionTimeOut, transactionCheckInterval } = this.#broker.config.values
    const { storeTimestamp, immunityMs, checks, checkedMs } = transaction
    const next =
      checks > 0
        ? checkedMs + transactionCheckInterval
        : storeTimestamp + (immunityMs >= 0 ? immunityMs : transactionTimeOut)
    return Math.min(next, this.#expiryMs(transaction))
  }

  #expiryMs(transaction: TransactionInDoubt): number {
    return transaction.storeTimestamp + this.#broker.config.settings.fileReservedMs
  }

  /** Until when it waits for a producer: as long as the checks would take that it could still be asked, in this leadership. */
  #waitsUntilMs(transaction: TransactionInDoubt): number {
    const { transactionCheckMax, transactionCheckInterval } = this.#broker.config.values
    const roundsMs = (transactionCheckMax - transaction.checks) * transactionCheckInterval
    const fromMs = Math.max(this.#leadsSinceMs, this.#dueMs(transaction))
    return Math.min(fromMs + roundsMs, this.#expiryMs(transaction))
  }

  #arm(): void {
    if (this.#pumping || !this.#running) return
    const dueMs = this.#due.nextDueMs
    if (this.#timer !== null && dueMs >= this.#timerDueMs) return
    this.#timer?.cancel()
    this.#timer = null
    if (dueMs === Number.POSITIVE_INFINITY) return
    const { clock } = this.#broker.platform
    const waitMs = Math.min(sleepMsMax, Math.max(0, dueMs - this.#broker.store.timeMs()))
    const graceMs = this.#notBeforeMs - clock.monotonicMs()
    this.#timerDueMs = dueMs
    this.#timer = clock.after(Math.ceil(Math.max(waitMs, graceMs)), () => {
      this.#timer = null
      this.#wake()
    })
  }

  #wake(): void {
    if (this.#pumping || !this.#running) return
    this.#pumping = true
    const generation = this.#generation
    this.#pump(generation)
      .catch((error: unknown) => {
        if (generation !== this.#generation) return
        this.#broker.logger.warn('Transactions not checked, trying again', {
          reason: reasonOf(error)
        })
        // What was taken from the queue and not done is due still.
        this.#notBeforeMs = this.#broker.platform.clock.monotonicMs() + retryMs
        this.#refill()
      })
      .finally(() => {
        this.#pumping = false
        this.#arm()
      })
  }

  async #pump(generation: number): Promise<void> {
    while (generation === this.#generation) {
      const { checks, givenUp, more } = await this.#takeDue(generation)
      if (generation !== this.#generation) return
      await Promise.all(givenUp.map(half => this.#giveUp(half, generation)))
      if (generation !== this.#generation) return
      if (checks.length > 0) await this.#ask(checks, generation)
      if (!more) return
    }
  }

  /** What is due, up to the limits. `more`: there may be others. */
  async #takeDue(
    generation: number
  ): Promise<{ checks: DueCheck[]; givenUp: HalfMessage[]; more: boolean }> {
    const { store, config } = this.#broker
    const checks: DueCheck[] = []
    const givenUp: HalfMessage[] = []
    let bytes = 0
    while (checks.length + givenUp.length < checksMax && bytes < checkBytesMax) {
      const nowMs = store.timeMs()
      if (this.#due.nextDueMs > nowMs) return { checks, givenUp, more: false }
      const physicalOffset = this.#due.take()!
      const transaction = store.tables.transactions.get(physicalOffset)
      if (transaction === undefined) continue
      const dueMs = this.#dueMs(transaction)
      if (dueMs > nowMs || this.#endings.isUnderWay(physicalOffset)) {
        this.#due.add(Math.max(dueMs, nowMs + retryMs), physicalOffset)
        continue
      }
      const stored = await store.messageAt(physicalOffset)
      if (generation !== this.#generation) break
      const half = stored === null ? null : readHalf(stored)
      if (half === null) {
        await this.#unreadable(physicalOffset, generation)
        continue
      }
      bytes += half.bytes.length
      const expired = this.#expiryMs(transaction) <= nowMs
      if (expired || transaction.checks >= config.values.transactionCheckMax) givenUp.push(half)
      else if (this.#producers.isThere(half.group))
        checks.push({ half, times: transaction.checks + 1 })
      else if (this.#waitsUntilMs(transaction) <= nowMs) givenUp.push(half)
      else this.#wait(half, transaction)
    }
    return { checks, givenUp, more: true }
  }

  #wait(half: HalfMessage, transaction: TransactionInDoubt): void {
    const { group, realTopic } = half
    if (!this.#absent.has(group))
      this.#broker.logger.info('No producer to ask about transactions, they wait for one', {
        group,
        topic: realTopic
      })
    this.#absent.add(group, transaction.physicalOffset, this.#waitsUntilMs(transaction))
  }

  /** Damaged, and then it is repaired; or nothing that could ever be committed. */
  async #unreadable(physicalOffset: number, generation: number): Promise<void> {
    const { store, logger } = this.#broker
    if (physicalOffset >= store.runtime().logStartPosition) {
      logger.warn('A half message cannot be read, it is looked at again later', { physicalOffset })
      this.#due.add(this.#broker.store.timeMs() + sleepMsMax, physicalOffset)
      return
    }
    logger.error('A half message is gone from the log, its transaction with it', { physicalOffset })
    await this.#endings.alone(physicalOffset, async () => {
      if (generation === this.#generation) await this.#endings.close(physicalOffset, null)
    })
  }

  /** Counts the checks, then asks about those that still are in doubt. */
  async #ask(due: readonly DueCheck[], generation: number): Promise<void> {
    const { store, config } = this.#broker
    const asked: (DueCheck & { producer: Connection })[] = []
    for (const check of due) {
      const producer = this.#producers.choose(check.half.group)
      if (producer !== null) asked.push({ ...check, producer })
      else this.#due.add(this.#broker.store.timeMs() + retryMs, check.half.stored.physicalOffset)
    }
    if (asked.length === 0) return
    const checks = asked.map(({ half, times }) => ({
      physicalOffset: half.stored.physicalOffset,
      times
    }))
    await store.execute({ type: 'checkTransactions', checks })
    if (generation !== this.#generation) return
    for (const { half, times, producer } of asked) {
      const { physicalOffset } = half.stored
      const transaction = store.tables.transactions.get(physicalOffset)
      if (transaction === undefined) continue
      this.#due.add(this.#dueMs(transaction), physicalOffset)
      // Its end came meanwhile, or a former leader's count won.
      if (transaction.checks !== times || this.#endings.isUnderWay(physicalOffset)) continue
      // Who was chosen may have gone while the check was counted.
      const living = producer.closed ? this.#producers.choose(half.group) : producer
      living?.oneway(checkCommand(half, times, config.settings.brokerName))
    }
  }

  /** Keeps a copy for people, and the transaction is over. */
  async #giveUp(half: HalfMessage, generation: number): Promise<void> {
    const { store, logger, storeHost } = this.#broker
    const { physicalOffset } = half.stored
    await this.#ensureTopic(SystemTopic.TRANS_CHECK_MAX_TIME)
    await this.#endings.alone(physicalOffset, async () => {
      const transaction = store.tables.transactions.get(physicalOffset)
      if (transaction === undefined || generation !== this.#generation) return
      const copy = givenUpMessage(half, storeHost, transaction.checks)
      const ending = await this.#endings.close(physicalOffset, copy)
      if (ending === 'ended')
        logger.warn('A transaction was given up: nobody decided it', {
          group: half.group,
          topic: half.realTopic,
          checks: transaction.checks
        })
      else if (ending !== 'notInDoubt' && generation === this.#generation)
        this.#due.add(this.#broker.store.timeMs() + sleepMsMax, physicalOffset)
    })
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
