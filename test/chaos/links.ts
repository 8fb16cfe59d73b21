import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const exec = promisify(execFile)

const PREFIX = '10.77.0'
/** Where the load runs and everything else that is not a node. */
export const HARNESS_ADDRESS = `${PREFIX}.1`
/** Nobody's: what is sent to it is lost without a word. */
const NOWHERE_MAC = '02:00:00:00:00:01'
/** A link that hardly moves: about 50 KB a second, and up to half a second in a queue. */
const SLOW = ['rate', '400kbit', 'burst', '4kb', 'latency', '500ms']

/** Switched cables between the nodes, each in a network namespace of its own. Runs inside `isolation.ts`' namespaces. */
export class Links {
  readonly #addresses = new Map<string, string>()
  readonly #cuts = new Set<string>()
  readonly #slow = new Set<string>()

  async open(): Promise<void> {
    await exec('mount', ['-t', 'tmpfs', 'tmpfs', '/run'])
    await ip('link', 'add', 'hub', 'type', 'bridge')
    await ip('addr', 'add', `${HARNESS_ADDRESS}/24`, 'dev', 'hub')
    await ip('link', 'set', 'hub', 'up')
  }

  /** Makes the node's namespace and resolves to its address. */
  async addNode(name: string): Promise<string> {
    const address = `${PREFIX}.${11 + this.#addresses.size}`
    await ip('netns', 'add', name)
    await ip('link', 'add', `v-${name}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
    await ip('link', 'set', `v-${name}`, 'master', 'hub', 'up')
    await ip('-n', name, 'link', 'set', 'lo', 'up')
    await ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', 'eth0')
    await ip('-n', name, 'link', 'set', 'eth0', 'up')
    this.#addresses.set(name, address)
    return address
  }

  address(name: string): string {
    return this.#addresses.get(name) ?? HARNESS_ADDRESS
  }

  /** From now on nothing that `from` sends reaches `to`; what comes back does. */
  async cut(from: string, to: string): Promise<void> {
    const neighbour = [this.address(to), 'lladdr', NOWHERE_MAC, 'nud', 'permanent']
    await ip(...inside(from), 'neigh', 'replace', ...neighbour, 'dev', device(from))
    this.#cuts.add(`${from}>${to}`)
  }

  /** All that leaves the node goes over a slow line. */
  async slow(name: string): Promise<void> {
    await exec('tc', ['-n', name, 'qdisc', 'replace', 'dev', 'eth0', 'root', 'tbf', ...SLOW])
    this.#slow.add(name)
  }

  async heal(): Promise<void> {
    for (const pair of this.#cuts) {
      const [from = '', to = ''] = pair.split('>')
      await ip(...inside(from), 'neigh', 'del', this.address(to), 'dev', device(from))
    }
    this.#cuts.clear()
    for (const name of this.#slow) {
      await exec('tc', ['-n', name, 'qdisc', 'del', 'dev', 'eth0', 'root'])
    }
    this.#slow.clear()
  }
}

/** The load and the name of whatever is no node. */
export const HARNESS = 'harness'

function inside(name: string): string[] {
  return name === HARNESS ? [] : ['-n', name]
}

function device(name: string): string {
  return name === HARNESS ? 'hub' : 'eth0'
}

async function ip(...args: string[]): Promise<void> {
  await exec('ip', args)
}
