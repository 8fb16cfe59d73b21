import type { Event, HelloFacts, RaftCore } from '../core/index.ts'
import type { RaftOptions } from '../types.ts'
import { type Hello, type HelloReply, WIRE_PROTOCOL, WireRefuseCode } from '../wire/index.ts'
import type { Refusal } from './peerStream.ts'

/** What this node says of itself when a connection begins, and whom it lets in. */
export class Greetings {
  readonly #options: RaftOptions
  readonly #core: RaftCore
  readonly #ask: (event: Event) => Refusal | null
  readonly #addressChanged: (peerId: string) => void
  readonly #brokerAddresses = new Map<string, string>()

  /** `ask` brings a greeting to the core; null: it is welcome. */
  constructor(
    options: RaftOptions,
    core: RaftCore,
    ask: (event: Event) => Refusal | null,
    addressChanged: (peerId: string) => void
  ) {
    this.#options = options
    this.#core = core
    this.#ask = ask
    this.#addressChanged = addressChanged
    this.#brokerAddresses.set(options.selfId, options.brokerAddress)
  }

  /** Where a member's clients connect, as it said; null before it was heard. */
  addressOf(id: string): string | null {
    return this.#brokerAddresses.get(id) ?? null
  }

  hello(): Hello {
    const { group } = this.#options
    const facts = this.#core.hello()
    const memberRole = roleNames.indexOf(facts.memberRole)
    return { ...facts, memberRole, protocol: WIRE_PROTOCOL, group, features: 0 }
  }

  judgeHello(hello: Hello): Refusal | null {
    const refusal =
      this.#judgeGroup(hello) ??
      this.#ask({ kind: 'hello', peer: hello.nodeId, hello: factsOf(hello) })
    if (refusal === null) this.#remember(hello)
    return refusal
  }

  judgeReply(peer: string, reply: HelloReply): Refusal | null {
    const refusal =
      this.#judgeGroup(reply) ?? this.#ask({ kind: 'linkUp', peer, hello: factsOf(reply) })
    if (refusal === null) this.#remember(reply)
    return refusal
  }

  #judgeGroup(hello: Hello): Refusal | null {
    if (hello.protocol !== WIRE_PROTOCOL) {
      const remark = `${hello.nodeId} speaks protocol ${hello.protocol}, known is ${WIRE_PROTOCOL}`
      return { code: WireRefuseCode.protocol, remark }
    }
    if (hello.group === this.#options.group) return null
    const remark = `${hello.nodeId} is of group ${hello.group}, not of ${this.#options.group}`
    return { code: WireRefuseCode.group, remark }
  }

  #remember(hello: Hello): void {
    if (this.#brokerAddresses.get(hello.nodeId) === hello.brokerAddress) return
    this.#brokerAddresses.set(hello.nodeId, hello.brokerAddress)
    this.#addressChanged(hello.nodeId)
  }
}

/** As the wire numbers them. */
const roleNames = ['none', 'learner', 'voter'] as const

export function factsOf(hello: Hello): HelloFacts {
  const { nodeId, nodeUid, clusterId, incarnation, term, lastIndex, lastTerm } = hello
  const { logStart, empty, recovering, configurationVersion, memberRole } = hello
  const { raftAddress, brokerAddress } = hello
  return {
    nodeId,
    nodeUid,
    clusterId,
    incarnation,
    term,
    lastIndex,
    lastTerm,
    logStart,
    empty,
    recovering,
    configurationVersion,
    memberRole: roleNames[memberRole] ?? 'none',
    raftAddress,
    brokerAddress
  }
}
