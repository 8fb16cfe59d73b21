import type { Logger, Platform, Timer } from '../../platform/index.ts'
import { isOneway, type RemotingCommand, ResponseCode, response } from '../../protocol/index.ts'
import { type RemotingClient, RemotingError, type ResponseReceiver } from '../../remoting/index.ts'
import type { Store } from '../../store/index.ts'
import type { LiveConfig } from '../config/index.ts'
import type { Caller, Handler } from '../dispatch/handler.ts'
import { forwardKeyName, forwardKeyRoom, isNotLeaderAnswer, wrapForwarded } from './mark.ts'

/** Between two looks at what is held, ms; a role change looks at once. */
const retryPeriodMs = 50
const unavailableRemark =
  'service not available now. This broker does not lead its group and knows no leader that takes the request, try again.'

/** Carries a request out on this node; the dispatcher's. */
export type RunHere = (handler: Handler, request: RemotingCommand, caller: Caller) => void

/** One request on its way to the leader, held or in flight. */
class Forwarded implements ResponseReceiver {
  readonly handler: Handler
  readonly request: RemotingCommand
  readonly caller: Caller
  readonly arrivedMs: number
  readonly bytes: number
  readonly #forwarder: Forwarder

  constructor(
    forwarder: Forwarder,
    handler: Handler,
    request: RemotingCommand,
    caller: Caller,
    arrivedMs: number,
    bytes: number
  ) {
    this.#forwarder = forwarder
    this.handler = handler
    this.request = request
    this.caller = caller
    this.arrivedMs = arrivedMs
    this.bytes = bytes
  }

  answered(answer: RemotingCommand): void {
    this.#forwarder.answered(this, answer)
  }

  failed(error: Error): void {
    this.#forwarder.failed(this, error)
  }
}

/** A send's properties are among its fields. */
function fieldBytes({ extFields, remark }: RemotingCommand): number {
  let bytes = remark?.length ?? 0
  for (const name in extFields) bytes += name.length + extFields[name]!.length
  return bytes
}

/** The fixed part of what a held request costs beside its body and fields, bytes. */
const requestOverheadBytes = 512

/**
 * What only the leader may do goes to the leader, over the one connection that the client pools for its address (design.md,
 * "Failure behaviour"). While there is no leader, requests are held: bounded in time, number and bytes.
 *
 *   arrived ── leader known ──▶ in flight ──▶ answered ──▶ the client
 *      └─ no leader, or it says it does not lead, or it cannot be reached ──▶ held ── leader known ──▶ in flight
 *                                                              └─ this node leads ──▶ carried out here
 *                                                              └─ time over ──▶ 14, or nothing
 */
export class Forwarder {
  readonly #platform: Platform
  readonly #logger: Logger
  readonly #config: LiveConfig
  readonly #store: Store
  readonly #client: RemotingClient
  readonly #acceptsWrites: () => boolean
  readonly #runHere: RunHere
  #held: Forwarded[] = []
  #heldBytes = 0
  #inFlight = 0
  #timer: Timer | null = null
  #turnScheduled: boolean = false
  #stopped: boolean = false

  constructor(o: {
    platform: Platform
    logger: Logger
    config: LiveConfig
    store: Store
    client: RemotingClient
    /** Leads, and is not handing over. */
    acceptsWrites: () => boolean
    runHere: RunHere
  }) {
    this.#platform = o.platform
    this.#logger = o.logger
    this.#config = o.config
    this.#store = o.store
    this.#client = o.client
    this.#acceptsWrites = o.acceptsWrites
    this.#runHere = o.runHere
  }

  get heldRequests(): number {
    return this.#held.length
  }

  /** Requests at the leader that are not answered yet. */
  get inFlight(): number {
    return this.#inFlight
  }

  /** Takes a request that this node must not carry out itself. Its answer goes to the caller's connection. */
  submit(handler: Handler, request: RemotingCommand, caller: Caller): void {
    // It outlives this turn: what the socket delivered may be used again.
    const body = request.body === null ? null : Buffer.from(request.body)
    const kept = { ...request, body }
    const bytes = (body?.length ?? 0) + fieldBytes(request) + requestOverheadBytes
    const item = new Forwarded(
      this,
      handler,
      kept,
      caller,
      this.#platform.clock.monotonicMs(),
      bytes
    )
    if (this.#held.length > 0 || !this.#send(item)) this.#hold(item)
  }

  /** A role changed somewhere: held requests may go on. */
  roleChanged(): void {
    if (this.#turnScheduled || this.#held.length === 0) return
    this.#turnScheduled = true
    this.#platform.clock.turnEnd(() => {
      this.#turnScheduled = false
      this.#pump()
    })
  }

  /** Refuses what is held; nothing is forwarded any more. */
  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    for (const item of held) this.#refuse(item)
  }

  #send(item: Forwarded): boolean {
    if (this.#stopped) return false
    const heldMs = this.#platform.clock.monotonicMs() - item.arrivedMs + item.caller.heldMs
    if (this.#acceptsWrites()) {
      this.#runHere(item.handler, item.request, { ...item.caller, heldMs })
      return true
    }
    const status = this.#store.status()
    const key = this.#store.tables.values(forwardKeyRoom).get(forwardKeyName)
    const address = status.leaderBrokerAddress
    if (
      status.role === 'leader' ||
      status.leaderId === null ||
      address === null ||
      key === undefined
    )
      return false
    const command = wrapForwarded(item.request, { key, address: item.caller.address, heldMs })
    this.#inFlight++
    const patienceMs = item.handler.heldMs?.(item.request) ?? 0
    const timeoutMs = this.#config.values.forwardTimeoutMillis + patienceMs
    this.#client.call(address, command, timeoutMs, item)
    return true
  }

  #hold(item: Forwarded): void {
    const { forwardHoldMillis, forwardHoldMaxRequests, forwardHoldMaxBytes } = this.#config.values
    const waitedMs = this.#platform.clock.monotonicMs() - item.arrivedMs
    if (
      this.#stopped ||
      waitedMs >= forwardHoldMillis ||
      this.#held.length >= forwardHoldMaxRequests ||
      this.#heldBytes + item.bytes > forwardHoldMaxBytes
    ) {
      this.#refuse(item)
      return
    }
    this.#held.push(item)
    this.#heldBytes += item.bytes
    this.#timer ??= this.#platform.clock.every(retryPeriodMs, () => this.#pump())
  }

  /** Sends what can go, in order of arrival; refuses what waited too long. */
  #pump(): void {
    const held = this.#held
    this.#held = []
    this.#heldBytes = 0
    const nowMs = this.#platform.clock.monotonicMs()
    const holdMs = this.#config.values.forwardHoldMillis
    for (const item of held) {
      // Nobody waits for its answer any more; a one-way request (a consumer's last offsets) has none.
      if (item.caller.connection.closed && !isOneway(item.request)) continue
      if (this.#held.length === 0 && this.#send(item)) continue
      if (nowMs - item.arrivedMs >= holdMs) this.#refuse(item)
      else {
        this.#held.push(item)
        this.#heldBytes += item.bytes
      }
    }
    if (this.#held.length > 0 || this.#timer === null) return
    this.#timer.cancel()
    this.#timer = null
  }

  answered(item: Forwarded, answer: RemotingCommand): void {
    this.#inFlight--
    if (isNotLeaderAnswer(answer)) this.#hold(item)
    else item.caller.connection.respond(item.request, answer)
  }

  failed(item: Forwarded, error: Error): void {
    this.#inFlight--
    const mayHaveRun = !(error instanceof RemotingError) || error.mayHaveRun
    // Asking again is harmless for what is only a question; a send that may be stored is for its client to repeat.
    const { repeatable, withoutLeader } = item.handler
    if (!mayHaveRun || repeatable === true || withoutLeader === 'silence') {
      this.#hold(item)
      return
    }
    this.#logger.debug('Forwarded request failed', {
      code: item.request.code,
      reason: error.message
    })
    this.#refuse(item)
  }

  #refuse(item: Forwarded): void {
    if (item.handler.withoutLeader === 'silence') return
    const answer = response(ResponseCode.SERVICE_NOT_AVAILABLE, unavailableRemark)
    item.caller.connection.respond(item.request, answer)
  }
}
