import type { Clock } from '../../platform/index.ts'
import { type RemotingCommand, ResponseCode, response } from '../../protocol/index.ts'
import type { Connection } from '../../remoting/index.ts'

/** Up to so many queues an answer is a small one: it is made at once. */
const queuesAtOnce = 1_000
/** More queues than these do not fit a frame, as they take 150 to 250 bytes of it each. */
const queuesMax = 80_000
/** Questions with large answers that may wait. */
const waitingMax = 256

/**
 * Answers that name tens of thousands of queues take seconds and tens of megabytes. They are made one after the other, and let everybody
 * else go first every thousand queues; what no frame holds is refused.
 */
export class LargeAnswers {
  readonly #clock: Clock
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `make` awaits `pace.step()` for each queue. Null: the client has gone meanwhile. */
  run(
    queues: number,
    connection: Connection,
    make: (pace: Pace) => Promise<RemotingCommand>
  ): Promise<RemotingCommand | null> {
    const pace = new Pace(this.#clock)
    if (queues <= queuesAtOnce) return make(pace)
    if (queues > queuesMax)
      return refuse(`${queues} queues do not fit an answer, the limit is ${queuesMax}`)
    if (this.#waiting >= waitingMax)
      return refuse(`${waitingMax} questions with large answers wait already, try again later`)
    this.#waiting += 1
    const made = this.#last.then(async () => {
      try {
        return connection.closed ? null : await make(pace)
      } finally {
        this.#waiting -= 1
      }
    })
    this.#last = made.catch(() => {})
    return made
  }
}

/** Lets the turn of the event loop end now and then. */
export class Pace {
  readonly #clock: Clock
  #steps = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A promise every thousand steps, which is to be awaited; else null. */
  step(): Promise<void> | null {
    this.#steps += 1
    if (this.#steps % queuesAtOnce !== 0) return null
    return new Promise(resolve => {
      this.#clock.turnEnd(resolve)
    })
  }
}

function refuse(remark: string): Promise<RemotingCommand> {
  return Promise.resolve(response(ResponseCode.SYSTEM_ERROR, remark))
}
