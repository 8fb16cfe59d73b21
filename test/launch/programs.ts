import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import process from 'node:process'
import type { Test } from 'tap'

/** The repository, or a folder that looks like it. */
export const root = process.cwd()

export interface Ended {
  status: number | null
  signal: string | null
  stdout: string
  stderr: string
}

export interface RunOptions {
  env?: Record<string, string | undefined>
  cwd?: string
}

/** A program of ours that runs; what it printed so far, and what it ends with. */
export class Program {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''
  #heard: () => void = () => {}

  constructor(t: Test, file: string, argv: readonly string[], { env, cwd }: RunOptions = {}) {
    const home = t.testdirName
    mkdirSync(home, { recursive: true })
    this.child = spawn(file, argv, {
      cwd: cwd ?? root,
      env: {
        ...process.env,
        HOME: home,
        LEDGERMQ_LOG_DIR: join(home, 'logs'),
        ROCKETMQ_HOME: undefined,
        NAMESRV_ADDR: undefined,
        ...env
      },
      stdio: ['ignore', 'pipe', 'pipe']
    })
    this.child.stdout!.setEncoding('utf8').on('data', text => {
      this.stdout += text
      this.#heard()
    })
    this.child.stderr!.setEncoding('utf8').on('data', text => {
      this.stderr += text
      this.#heard()
    })
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', (status, signal) => {
        resolve({ status, signal, stdout: this.stdout, stderr: this.stderr })
        this.#heard()
      })
    })
    t.after(async () => {
      this.child.kill('SIGKILL')
      await this.ended
    })
  }

  /** Resolves to the match when the standard output has it; rejects with all output when the program ends without. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.stdout)
      if (match !== null) return match
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        const { status, stdout, stderr } = await this.ended
        const late = pattern.exec(stdout)
        if (late !== null) return late
        throw new Error(`ended with ${status} without ${pattern}: ${stdout}${stderr}`)
      }
      await new Promise<void>(resolve => {
        this.#heard = resolve
      })
    }
  }
}

export function runProgram(
  t: Test,
  file: string,
  argv: readonly string[] = [],
  options: RunOptions = {}
): Promise<Ended> {
  return new Program(t, file, argv, options).ended
}

/** A program of `bin`, by its name. */
export function bin(name: string): string {
  return join(root, 'bin', name)
}

/** A port of this host that nobody listens on, below those that the system gives to connections. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 21_000 + Math.floor(Math.random() * 8_000)
    const server = createServer()
    const free = await new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false))
      server.listen(port, () => resolve(true))
    })
    if (!free) continue
    await new Promise(resolve => server.close(resolve))
    return port
  }
}

/** Holds a port until the test ends. */
export async function holdPort(t: Test, port: number): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, resolve)
  })
  t.after(() => new Promise(resolve => server.close(resolve)))
}

/** A folder with a `node` in it that claims to be of another version; to be put first on the PATH. */
export function fakeNode(t: Test, version: string): string {
  const folder = t.testdir({ node: `#!/bin/sh\necho ${version}\n` })
  chmodSync(join(folder, 'node'), 0o755)
  return folder
}

export function writeFile(path: string, text: string): void {
  writeFileSync(path, text)
}

export { existsSync }
