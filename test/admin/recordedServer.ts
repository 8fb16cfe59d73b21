import { readdirSync, readFileSync } from 'node:fs'
import { createRealPlatform, type Platform, silentLogger } from '../../src/platform/index.ts'
import {
  decodeCommand,
  FrameReader,
  type RemotingCommand,
  response
} from '../../src/protocol/index.ts'
import { RemotingServer } from '../../src/remoting/index.ts'

interface Exchange {
  request: { frame: string }
  response: { frame: string } | null
}

type Answerer = (request: RemotingCommand) => RemotingCommand | null

/**
 * One server that plays every name server and broker of the recorded cluster: the platform that it gives out leads
 * all connections to it. Answers are the recorded ones; of several for a code, the first whose request has the same
 * fields as far as both have them.
 */
export class RecordedServer {
  /** What was asked, in order. */
  readonly requests: RemotingCommand[] = []
  readonly platform: Platform
  readonly #server: RemotingServer
  readonly #overrides = new Map<number, Answerer>()
  #port = 0

  constructor() {
    const real = createRealPlatform()
    this.platform = {
      ...real,
      network: {
        listen: (options, onConnection) => real.network.listen(options, onConnection),
        hostAddresses: () => real.network.hostAddresses(),
        connect: options =>
          real.network.connect({ ...options, host: '127.0.0.1', port: this.#port })
      }
    }
    this.#server = new RemotingServer({
      clock: real.clock,
      network: real.network,
      logger: silentLogger,
      host: '127.0.0.1',
      port: 0
    })
    this.#server.handleDefault(request => this.#answer(request))
  }

  async start(): Promise<void> {
    await this.#server.start()
    this.#port = this.#server.port
  }

  stop(): Promise<void> {
    return this.#server.stop()
  }

  /** Answers a code otherwise than recorded. */
  on(code: number, answer: Answerer): void {
    this.#overrides.set(code, answer)
  }

  /** Answers a code with the exchange at `position` of its file, whatever the request says. */
  play(code: number, position: number): void {
    this.on(code, () => recordedAnswer(code, position))
  }

  codes(): number[] {
    return this.requests.map(request => request.code)
  }

  #answer(request: RemotingCommand): RemotingCommand | null {
    this.requests.push(request)
    const override = this.#overrides.get(request.code)
    if (override !== undefined) return override(request)
    const exchanges = exchangesOf(request.code)
    for (const exchange of exchanges) {
      const asked = decoded(exchange.request.frame)
      if (exchange.response !== null && sameFields(asked, request)) {
        return decoded(exchange.response.frame)
      }
    }
    return response(1, `nothing was recorded for code ${request.code}`)
  }
}

export function recordedAnswer(code: number, position: number): RemotingCommand {
  const exchange = exchangesOf(code)[position]
  if (exchange?.response === undefined || exchange.response === null) {
    throw new Error(`no answer ${position} was recorded for code ${code}`)
  }
  return decoded(exchange.response.frame)
}

const FOLDER = 'test/vectors/remoting'

function exchangesOf(code: number): Exchange[] {
  const prefix = `${String(code).padStart(4, '0')}-`
  const file = readdirSync(FOLDER).find(name => name.startsWith(prefix))
  if (file === undefined) return []
  return JSON.parse(readFileSync(`${FOLDER}/${file}`, 'utf8')) as Exchange[]
}

function decoded(base64: string): RemotingCommand {
  const reader = new FrameReader()
  reader.push(Buffer.from(base64, 'base64'))
  return decodeCommand(reader.next()!)
}

function sameFields(asked: RemotingCommand, request: RemotingCommand): boolean {
  return Object.entries(request.extFields ?? {}).every(
    ([name, value]) => (asked.extFields?.[name] ?? value) === value
  )
}

/** The recorded output of a command, without its first line (the command) and its last (the exit status). */
export function recordedOutput(name: string): string {
  const text = readFileSync(`test/vectors/mqadmin/${name}.txt`, 'utf8')
  return text.replace(/^\$ .*\n/, '').replace(/\[exit \d+\]\n$/, '')
}

/** The words of the recorded command line behind `mqadmin`. */
export function recordedWords(name: string): string[] {
  const text = readFileSync(`test/vectors/mqadmin/${name}.txt`, 'utf8')
  return text.split('\n')[0]!.replace('$ mqadmin ', '').split(' ')
}
