import { type ProcessEntry, processesOf } from './processList.ts'

const PROGRAMS: Readonly<Record<string, string>> = { broker: 'mqbroker', namesrv: 'mqnamesrv' }

/** What a shutdown does to the world around it. */
export interface Host {
  processes: () => ProcessEntry[]
  /** Sends SIGTERM. Throws an error with a `code`, as process.kill does. */
  terminate: (pid: number) => void
  stdout: (line: string) => void
  stderr: (line: string) => void
}

/** `mqshutdown broker|namesrv`: asks every such process of this host to end, with the original's words. Returns the exit status. */
export function shutdown(argv: readonly string[], host: Host): number {
  const [what = '', ...more] = argv
  const program = Object.hasOwn(PROGRAMS, what) ? PROGRAMS[what] : undefined
  if (program === undefined || more.length > 0) {
    host.stderr('Usage: mqshutdown broker | namesrv')
    return 1
  }
  const pids = processesOf(program, host.processes())
  if (pids.length === 0) {
    host.stdout(`No ${program} running.`)
    return 1
  }
  const list = pids.join(' ')
  host.stdout(`The ${program}(${list}) is running...`)
  const refused = pids.filter(pid => !asked(pid, host))
  if (refused.length > 0) {
    host.stderr(`No permission to stop process ${refused.join(', ')}.`)
    return 1
  }
  host.stdout(`Send shutdown request to ${program}(${list}) OK`)
  return 0
}

function asked(pid: number, host: Host): boolean {
  try {
    host.terminate(pid)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ESRCH') return true // it ended by itself meanwhile
    if (code === 'EPERM') return false
    throw error
  }
}
