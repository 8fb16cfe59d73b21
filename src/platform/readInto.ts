import type net from 'node:net'
import { fill, type Reception } from './reception.ts'

/** Where a socket of Node.js keeps what `onread` of its options says. */
interface Slots {
  readonly buffer: symbol
  readonly callback: symbol
  readonly nextBuffer: symbol
}

interface Internals {
  _handle?: { useUserBuffer?: (buffer: Uint8Array) => void } | null
  [slot: symbol]: unknown
}

function slotsOf(socket: net.Socket): Slots | null {
  const find = (name: string): symbol | undefined =>
    Object.getOwnPropertySymbols(socket).find(({ description }) => description === name)
  const buffer = find('kBuffer')
  const callback = find('kBufferCb')
  const nextBuffer = find('kBufferGen')
  if (buffer === undefined || callback === undefined || nextBuffer === undefined) return null
  return { buffer, callback, nextBuffer }
}

/**
 * Has a socket read into the reception's memory. Otherwise Node.js takes 64 KiB of new memory for each read, and at a hundred megabytes a
 * second the garbage collector has a fifth of the CPU time. It offers this (`onread`) to sockets that a program opens, but not to
 * those that a server accepts, although both can do it. Where a version of Node.js keeps it elsewhere, chunks are copied.
 */
export function readInto(socket: net.Socket, reception: Reception): void {
  const internals = socket as unknown as Internals
  const slots = slotsOf(socket)
  if (slots === null || typeof internals._handle?.useUserBuffer !== 'function') {
    socket.on('data', chunk => fill(reception, chunk))
    return
  }
  const room = reception.room()
  internals[slots.buffer] = room
  internals[slots.callback] = (bytes: number) => reception.received(bytes)
  internals[slots.nextBuffer] = () => reception.room()
  internals._handle.useUserBuffer(room)
}
