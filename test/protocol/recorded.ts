import { readdirSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { type Frame, FrameReader } from '../../src/protocol/index.ts'

/** Frames recorded between unmodified RocketMQ clients, brokers and name servers; see test/vectors/remoting. */
export interface RecordedFrame {
  file: string
  from: string
  to: string
  kind: 'request' | 'response'
  /** Request code of the exchange, from the file's name. */
  requestCode: number
  /** The header as whoever recorded it decoded it. */
  header: Record<string, unknown>
  bytes: Buffer
}

interface Side {
  header: Record<string, unknown>
  frame: string
}

interface Exchange {
  from: string
  to: string
  request: Side
  response: Side | null
}

const FOLDER = 'test/vectors/remoting'

export function recordedFrames(): RecordedFrame[] {
  const frames: RecordedFrame[] = []
  for (const file of readdirSync(FOLDER).sort()) {
    const exchanges = JSON.parse(readFileSync(`${FOLDER}/${file}`, 'utf8')) as Exchange[]
    for (const { from, to, request, response } of exchanges) {
      for (const [kind, side] of [
        ['request', request],
        ['response', response]
      ] as const) {
        if (side === null) continue
        const bytes = Buffer.from(side.frame, 'base64')
        frames.push({
          file,
          from,
          to,
          kind,
          requestCode: Number(file.slice(0, 4)),
          header: side.header,
          bytes
        })
      }
    }
  }
  return frames
}

export function frameOf(bytes: Buffer): Frame {
  const reader = new FrameReader()
  reader.push(bytes)
  const frame = reader.next()
  if (frame === null) throw new Error('no whole frame')
  return frame
}

/** A segment file of a stopped 4.9.7 broker; see test/vectors/store. */
export function recordedSegment(name: string): Buffer {
  return gunzipSync(readFileSync(`test/vectors/store/commitlog-${name}.gz`))
}
