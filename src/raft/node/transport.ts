import type { Logger, Platform } from '../../platform/index.ts'
import type { Message } from '../core/index.ts'
import type { RaftTimings } from '../types.ts'
import { encodeFrameHead, encodeMessage, type Hello } from '../wire/index.ts'
import { Inbound, type InboundEvents } from './inbound.ts'
import { type Bytes, type PeerAddresses, PeerStream, type PeerStreamEvents } from './peerStream.ts'

export type TransportEvents = InboundEvents & PeerStreamEvents

export interface TransportOptions {
  platform: Platform
  logger: Logger
  /** Where this node listens. */
  port: number
  timings: RaftTimings
  events: TransportEvents
}

/**
 * All connections of a node: its own stream to each peer for what it asks, the peers' streams for
 * what it answers. Nothing leaves before `flush`, which is one socket write a connection.
 */
export class Transport {
  readonly #options: TransportOptions
  readonly #port: number
  readonly #inbound: Inbound
  readonly #streams = new Map<string, PeerStream>()
  /** Of streams to former peers. */
  #formerSentBytes = 0
  #formerReceivedBytes = 0

  constructor(options: TransportOptions) {
    const { platform, logger, port, events } = options
    this.#options = options
    this.#port = port
    this.#inbound = new Inbound(platform, logger, events)
  }

  /** Rejects with the system error when the port cannot be had. Port 0: a group of one that nobody can join. */
  async listen(): Promise<void> {
    if (this.#port > 0) await this.#inbound.listen(this.#port)
  }

  /** From now on this node has a stream to each of these and to nobody else. Returns those that stood and are gone. */
  connectTo(peers: readonly PeerAddresses[]): string[] {
    const { platform, logger, timings, events } = this.#options
    const lost: string[] = []
    const wanted = new Set(peers.map(peer => peer.id))
    for (const [id, stream] of this.#streams) {
      if (wanted.has(id)) continue
      if (stream.up) lost.push(id)
      stream.stop()
      this.#formerSentBytes += stream.sentBytes
      this.#formerReceivedBytes += stream.receivedBytes
      this.#streams.delete(id)
    }
    for (const peer of peers) {
      const known = this.#streams.get(peer.id)
      if (known !== undefined) {
        known.reachAt(peer.addresses)
        continue
      }
      const stream = new PeerStream(platform, logger, peer, timings, events)
      this.#streams.set(peer.id, stream)
      stream.start()
    }
    return lost
  }

  /** Ends the connections, either way, whose Hello was one of which this says no. */
  keepOnly(keeps: (hello: Hello) => boolean): void {
    this.#inbound.keepOnly(keeps)
    for (const stream of this.#streams.values()) stream.keepOnly(keeps)
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
    let payloadBytes = 0
    for (const entry of entries) payloadBytes += entry.bytes.length
    const { type, header } = encodeMessage(message)
    const head = encodeFrameHead(type, header, payloadBytes)
    if (isReply) this.#inbound.send(to, head, entries)
    else this.#streams.get(to)?.send(head, entries)
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
    let bytes = this.#inbound.sentBytes + this.#formerSentBytes
    for (const stream of this.#streams.values()) bytes += stream.sentBytes
    return bytes
  }

  get receivedBytes(): number {
    let bytes = this.#inbound.receivedBytes + this.#formerReceivedBytes
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
