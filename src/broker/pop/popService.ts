import type { BrokerContext } from '../dispatch/context.ts'
import type { Handler } from '../dispatch/handler.ts'
import { Acks } from './acks.ts'
import { changeInvisibleTime } from './changeInvisible.ts'
import { InFlight } from './inFlight.ts'
import { Notifications } from './notification.ts'
import { peekMessage, pollingInfo } from './peek.ts'
import { PopPath } from './popPath.ts'
import { Revival } from './revival.ts'

/** POP (5.x): messages are given out one by one to whoever of a group asks, and come back when they are not acknowledged in time. */
export class PopService {
  readonly #path: PopPath
  readonly #notifications: Notifications
  readonly #inFlight: InFlight
  readonly #acks: Acks
  readonly #revival: Revival

  constructor(broker: BrokerContext) {
    this.#path = new PopPath(broker)
    this.#notifications = new Notifications(broker)
    this.#inFlight = new InFlight(broker)
    this.#acks = new Acks(broker, this.#inFlight, this.#path.holds)
    this.#revival = new Revival(broker, this.#inFlight)
    broker.store.onOffsetsBack(moved => {
      for (const { topic, group, queueId } of moved) {
        this.#path.holds.offsetSet(topic, group, queueId)
        this.#notifications.holds.offsetSet(topic, group, queueId)
      }
    })
  }

  handlers(): Handler[] {
    return [
      this.#path.handler,
      ...this.#acks.handlers(),
      changeInvisibleTime(this.#inFlight, this.#path.holds),
      this.#notifications.handler,
      peekMessage,
      pollingInfo(this.#path.holds)
    ]
  }

  /** Requests that wait for a message. */
  get waiting(): number {
    return this.#path.holds.size + this.#notifications.holds.size
  }

  /** Messages given out anew since this node started. */
  get revived(): number {
    return this.#revival.revived
  }

  /** This node leads now and has applied everything before. */
  start(): void {
    this.#inFlight.reset()
    this.#path.start()
    this.#notifications.holds.start()
    this.#revival.start()
  }

  stop(): void {
    this.#revival.stop()
    this.#path.stop()
    this.#notifications.holds.stop()
  }
}
