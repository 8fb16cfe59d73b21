import { readFileSync } from 'node:fs'
import process from 'node:process'

/** A process whose cost is reported under a name. */
export interface Watched {
  name: string
  pid: string
}

/** From `name=pid` words, and this process as `load`. */
export function watchedProcesses(words: readonly string[]): Watched[] {
  const watched = words.map(word => {
    const [name = '', pid = ''] = word.split('=')
    return { name, pid }
  })
  return [...watched, { name: 'load', pid: String(process.pid) }]
}

/** Clock ticks a second of /proc (USER_HZ), the same on every Linux. */
const TICKS_PER_SECOND = 100

/** User and system CPU time of a process so far, in seconds. Linux only. */
export function cpuSeconds(pid: string): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

/** Resident memory in MiB. Linux only. */
export function residentMb(pid: string): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return Math.round(Number(line?.[1] ?? 0) / 1024)
}
