import type { Logger, Platform } from '../../platform/index.ts'
import type { Message } from '../core/index.ts'
import type { RaftPeer, RaftTimings } from '../types.ts'
import { encodeFrameHead, encodeMessage } from '../wire/index.ts'
import { Inbound, type InboundEvents } from './inbound.ts'
import { type Bytes, PeerStream, type PeerStreamEvents } from './peerStream.ts'

export type TransportEvents = InboundEvents & PeerStreamEvents

export interface TransportOptions {
  platform: Platform
  logger: Logger
  selfId: string
  peers: readonly RaftPeer[]
  timings: RaftTimings
  events: TransportEvents
}

/**
 * All connections of a node: its own stream to each peer for what it asks, the peers' streams for
 * what it answers. Nothing leaves before `flush`, which is one socket write a connection.
 */
export class Transport {
  readonly #port: number
  readonly #inbound: Inbound
  readonly #streams = new Map<string, PeerStream>()

  constructor(options: TransportOptions) {
    const { platform, logger, selfId, peers, timings, events } = options
    this.#port = peers.find(peer => peer.id === selfId)!.port
    this.#inbound = new Inbound(platform, logger, events)
    for (const peer of peers) {
      if (peer.id === selfId) continue
      this.#streams.set(peer.id, new PeerStream(platform, logger, peer, timings, events))
    }
  }

  /** Rejects with the system error when the port cannot be had. A group of one has nobody to listen for. */
  async listen(): Promise<void> {
    if (this.#streams.size > 0) await this.#inbound.listen(this.#port)
  }

  connect(): void {
    for (const stream of this.#streams.values()) stream.start()
  }

  connected(peerId: string): boolean {
    return this.#streams.get(peerId)?.up === true
  }

  /** A peer was heard of, or lost: its stream is tried at once instead of after the backoff. */
  hurry(peerId: string): void {
    this.#streams.get(peerId)?.hurry()
  }

  /** Questions on the own stream, answers on the peer's; dropped where there is no connection. */
  send(to: string, message: Message, entries: readonly Bytes[]): void {
    const isReply =
      message.type === 'appendReply' ||
      message.type === 'voteReply' ||
      message.type === 'repairReply' ||
      message.type === 'snapshotDone'
    const stream = this.#streams.get(to)
    if (stream === undefined) return
    let payloadBytes = 0
    for (const entry of entries) payloadBytes += entry.bytes.length
    const { type, header } = encodeMessage(message)
    const head = encodeFrameHead(type, header, payloadBytes)
    if (isReply) this.#inbound.send(to, head, entries)
    else stream.send(head, entries)
  }

  /** A frame that the core has no part in. */
  ask(to: string, type: number, header: Uint8Array): void {
    this.#streams.get(to)?.send(encodeFrameHead(type, header, 0), [])
  }

  /** The same, on the peer's own stream. */
  answer(to: string, type: number, header: Uint8Array, bytes: Buffer): void {
    this.#inbound.send(to, encodeFrameHead(type, header, bytes.length), [{ bytes }])
  }

  flush(): void {
    for (const stream of this.#streams.values()) stream.flush()
    this.#inbound.flush()
  }

  get sentBytes(): number {
    let bytes = this.#inbound.sentBytes
    for (const stream of this.#streams.values()) bytes += stream.sentBytes
    return bytes
  }

  get receivedBytes(): number {
    let bytes = this.#inbound.receivedBytes
    for (const stream of this.#streams.values()) bytes += stream.receivedBytes
    return bytes
  }

  /** Sends what is waiting and closes the own streams. The port stays open: who is refused there takes this process for dead. */
  disconnect(): void {
    this.#inbound.flush()
    for (const stream of this.#streams.values()) stream.stop(true)
  }

  /** Drops everything and gives the port back. */
  async close(): Promise<void> {
    for (const stream of this.#streams.values()) stream.stop()
    await this.#inbound.close()
  }
}
