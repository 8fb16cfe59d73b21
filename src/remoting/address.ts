/** `host:port` into its parts; null when it is none. IPv6 with or without brackets: the last colon divides. */
export function parseAddress(address: string): { host: string; port: number } | null {
  const colon = address.lastIndexOf(':')
  if (colon < 1) return null
  const text = address.slice(colon + 1)
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) return null
  const host = address.slice(0, colon).trim()
  return { host: host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host, port }
}
