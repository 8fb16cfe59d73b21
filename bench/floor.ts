import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Load, Space, Timing } from './options.ts'
import { Children, loadArgs, makeDirectory, pidArgs, runLoad, type System } from './system.ts'
import type { Report } from './window.ts'

const NODE_PROGRAM = join(dirname(fileURLToPath(import.meta.url)), 'barePipeline.js')

/** The bare pipeline of three processes (barePipeline.ts) and its load. */
export class Floor implements System {
  readonly name: string
  readonly space: Space
  readonly #children = new Children()
  #directory = ''
  #address = ''
  #pids: number[] = []

  constructor(space: Space) {
    this.space = space
    this.name = `floor, ${space}`
  }

  async start(): Promise<null> {
    this.#directory = await makeDirectory('floor')
    const followers = [this.#fork('follower', 'f1'), this.#fork('follower', 'f2')]
    const followerPorts = await Promise.all(followers.map(portOf))
    const leader = this.#fork('leader', 'leader')
    leader.send({ followers: followerPorts })
    this.#address = `127.0.0.1:${await portOf(leader)}`
    this.#pids = [leader, ...followers].map(({ pid }) => pid!)
    return null
  }

  async measure(load: Load, timing: Timing): Promise<Report | null> {
    if (load.batch > 1) return null
    const [leader = 0, ...followers] = this.#pids
    return runLoad('bareLoad.js', [
      '--address',
      this.#address,
      ...loadArgs(load, timing),
      ...pidArgs(leader, followers)
    ])
  }

  async stop(): Promise<void> {
    await this.#children.stop()
    if (this.#directory !== '') await rm(this.#directory, { recursive: true, force: true })
  }

  #fork(role: 'leader' | 'follower', file: string): ChildProcess {
    const child = fork(NODE_PROGRAM, [role, this.space, join(this.#directory, file)])
    this.#children.add(child)
    return child
  }
}

async function portOf(child: ChildProcess): Promise<number> {
  const ended = once(child, 'exit').then(() => {
    throw new Error('a process of the floor ended at its start')
  })
  const [told] = (await Promise.race([once(child, 'message'), ended])) as [{ port: number }]
  return told.port
}
