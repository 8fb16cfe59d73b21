import { getInt32, putInt32 } from './bytes.ts'

/** An address in a stored message: 4 or 16 bytes of IP, then the port as i32 (remoting.md 4.1). */
export const IPV4_HOST_BYTES = 8
export const IPV6_HOST_BYTES = 20

export interface Host {
  /** Numeric, IPv6 without brackets. */
  address: string
  port: number
}

/** Bytes of a numeric address and port. IPv4 mapped into IPv6 (`::ffff:10.0.0.1`) becomes IPv4. Throws RangeError when it is no address. */
export function encodeHost(address: string, port: number): Buffer {
  const ip = encodeAddress(address)
  const host = Buffer.alloc(ip.length + 4)
  host.set(ip)
  putInt32(host, ip.length, port)
  return host
}

/** `length` is 8 or 20. */
export function decodeHost(bytes: Uint8Array, at = 0, length = bytes.length): Host {
  const ipBytes = length - 4
  return { address: decodeAddress(bytes, at, ipBytes), port: getInt32(bytes, at + ipBytes) }
}

/** `ip:port`, as RocketMQ prints peers; IPv6 in brackets. */
export function hostText(host: Host): string {
  return host.address.includes(':')
    ? `[${host.address}]:${host.port}`
    : `${host.address}:${host.port}`
}

/** Reads `ip:port`, `[ip]:port`, `name:port` and the original's bare IPv6 `a:b::c:port`; null when there is no port from 0 to 65535. */
export function parseHostText(text: string): Host | null {
  const colon = text.lastIndexOf(':')
  const port = text.slice(colon + 1)
  if (colon < 1 || !/^\d{1,5}$/.test(port) || Number(port) > 65_535) return null
  const address = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  return address === '' ? null : { address, port: Number(port) }
}

/** 4 or 16 bytes. */
export function encodeAddress(address: string): Buffer {
  const plain = address.replace(/%.*$/, '')
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)
  const v4 = encodeV4(mapped?.[1] ?? plain)
  if (v4 !== null) return v4
  const v6 = encodeV6(plain)
  if (v6 === null) throw new RangeError(`'${address}' is not a numeric IP address`)
  return v6
}

function encodeV4(address: string): Buffer | null {
  const parts = address.split('.')
  if (parts.length !== 4 || !parts.every(part => /^\d{1,3}$/.test(part) && Number(part) < 256))
    return null
  return Buffer.from(parts.map(Number))
}

function encodeV6(address: string): Buffer | null {
  const halves = address.split('::')
  if (halves.length > 2 || !address.includes(':')) return null
  const head = groups(halves[0]!)
  const tail = halves.length === 2 ? groups(halves[1]!) : []
  if (head === null || tail === null) return null
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null
  const ip = Buffer.alloc(16)
  const all = [...head, ...new Array<number>(missing).fill(0), ...tail]
  for (const [i, group] of all.entries()) {
    ip[i * 2] = group >> 8
    ip[i * 2 + 1] = group & 255
  }
  return ip
}

function groups(text: string): number[] | null {
  if (text === '') return []
  const values: number[] = []
  const parts = text.split(':')
  for (const [i, part] of parts.entries()) {
    const v4 = i === parts.length - 1 && part.includes('.') ? encodeV4(part) : null
    if (v4 !== null) values.push((v4[0]! << 8) | v4[1]!, (v4[2]! << 8) | v4[3]!)
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) values.push(Number.parseInt(part, 16))
    else return null
  }
  return values
}

/** IPv6 as eight groups with the longest run of zeros shortened. */
function decodeAddress(bytes: Uint8Array, at: number, length: number): string {
  if (length === 4) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`
  const parts: string[] = []
  for (let i = 0; i < 16; i += 2)
    parts.push(((bytes[at + i]! << 8) | bytes[at + i + 1]!).toString(16))
  const runs = parts.join(':').match(/\b0(:0)+\b/g) ?? []
  const longest = runs.reduce((best, run) => (run.length > best.length ? run : best), '')
  if (longest === '') return parts.join(':')
  const text = parts.join(':')
  const cut = text.search(new RegExp(`\\b${longest}\\b`))
  return `${text.slice(0, cut).replace(/:$/, '')}::${text.slice(cut + longest.length).replace(/^:/, '')}`
}
