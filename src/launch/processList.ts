import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** A process of this host as a user can see it. */
export interface ProcessEntry {
  pid: number
  /** The command line, word by word. */
  words: readonly string[]
}

/** Process ids of those that run one of our programs (`mqbroker`, `mqnamesrv`), from whatever folder. */
export function processesOf(program: string, processes: readonly ProcessEntry[]): number[] {
  const script = `/launch/${program}.js`
  return (
    processes
      // The script is node's argument, not some other program's that only mentions it.
      .filter(({ words }) => /(^|\/)node$/.test(words[0] ?? ''))
      .filter(({ words }) => words.find(word => word.endsWith('.js'))?.endsWith(script) === true)
      .map(({ pid }) => pid)
  )
}

/** Every process of this host. */
export function listProcesses(): ProcessEntry[] {
  try {
    return readdirSync('/proc')
      .filter(name => /^\d+$/.test(name))
      .map(name => ({ pid: Number(name), words: wordsOf(name) }))
  } catch {
    // No /proc: macOS.
    const { stdout } = spawnSync('ps', ['-axo', 'pid=,args='], { encoding: 'utf8' })
    return parsePs(stdout ?? '')
  }
}

/** Lines of `ps -axo pid=,args=`. */
export function parsePs(text: string): ProcessEntry[] {
  return text
    .split('\n')
    .filter(line => line.trim() !== '')
    .map(line => {
      const [pid, ...words] = line.trim().split(/\s+/)
      return { pid: Number(pid), words }
    })
}

function wordsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return [] // ended since the directory was read
  }
}
