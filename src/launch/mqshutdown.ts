import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'

/** Sends SIGTERM to every name server or every broker of this host, as the original does. */
const PROGRAMS: Readonly<Record<string, string>> = { broker: 'mqbroker', namesrv: 'mqnamesrv' }

const program = PROGRAMS[process.argv[2] ?? '']
if (program === undefined || process.argv.length > 3) {
  console.error('Usage: mqshutdown broker | namesrv')
  process.exit(1)
}
const pids = processesOf(`/launch/${program}.js`)
if (pids.length === 0) {
  console.log(`No ${program} running.`)
  process.exit(1)
}
const list = pids.join(' ')
console.log(`The ${program}(${list}) is running...`)
for (const pid of pids) {
  try {
    process.kill(pid, 'SIGTERM')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ESRCH') continue // it ended by itself meanwhile
    console.error(`No permission to stop process ${pid}.`)
    process.exit(1)
  }
}
console.log(`Send shutdown request to ${program}(${list}) OK`)

function processesOf(script: string): number[] {
  const found: number[] = []
  for (const [pid, words] of commandLines()) {
    // The script is node's argument, not some other program's that only mentions it.
    if (/(^|\/)node$/.test(words[0] ?? '') && words.some(word => word.endsWith(script))) {
      found.push(pid)
    }
  }
  return found
}

/** Process id and command line of every process that this user can see. */
function commandLines(): [number, string[]][] {
  try {
    return readdirSync('/proc')
      .filter(name => /^\d+$/.test(name))
      .map(name => [Number(name), procWords(name)])
  } catch {
    const { stdout } = spawnSync('ps', ['-axo', 'pid=,args='], { encoding: 'utf8' })
    return (stdout ?? '')
      .split('\n')
      .map(line => line.trim().split(/\s+/))
      .map(([pid, ...words]) => [Number(pid), words])
  }
}

function procWords(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')
  } catch {
    return [] // ended since the directory was read
  }
}
