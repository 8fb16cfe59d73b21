/** What is appended from `from` to `to`, bytes of the file: none is zero, and each says where it belongs. */
export function appended(from: number, to: number): Buffer {
  const bytes = Buffer.allocUnsafe(to - from)
  for (let i = 0; i < bytes.length; i++) bytes[i] = 1 + ((from + i) % 251)
  return bytes
}
