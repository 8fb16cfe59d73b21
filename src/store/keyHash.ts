/**
 * Hash of `topic#key` for the key index. 32 bits; hits are verified in the message, so a collision costs a read only.
 * FNV-1a over the bytes with a finishing mix; the part of the topic is the same for a queue's messages and kept there.
 */
const FNV_START = 0x811c9dc5
const FNV_PRIME = 0x01000193
const HASH_SIGN = 0x23

/** State after `topic#`. */
export function topicSeed(topic: Uint8Array): number {
  let hash = FNV_START
  for (let i = 0; i < topic.length; i++) hash = Math.imul(hash ^ topic[i]!, FNV_PRIME)
  return Math.imul(hash ^ HASH_SIGN, FNV_PRIME)
}

export function keyHash(seed: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = seed
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, FNV_PRIME)
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
