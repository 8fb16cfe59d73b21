import { readFileSync } from 'node:fs'
import process from 'node:process'

/** A process whose cost is reported under a name. */
export interface Watched {
  name: string
  pid: string
}

/** From `name=pid` words, and this process, or another one that loads, as `load`. */
export function watchedProcesses(
  words: readonly string[],
  loadPid = String(process.pid)
): Watched[] {
  const watched = words.map(word => {
    const [name = '', pid = ''] = word.split('=')
    return { name, pid }
  })
  return [...watched, { name: 'load', pid: loadPid }]
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
  return memoryMb(pid, 'VmRSS')
}

/** The most resident memory that it has had, in MiB. Linux only. */
export function peakMb(pid: string): number {
  return memoryMb(pid, 'VmHWM')
}

function memoryMb(pid: string, field: string): number {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8').match(`${field}:\\s+(\\d+) kB`)
  return Math.round(Number(line?.[1] ?? 0) / 1024)
}

/** CPU time of each so far. */
export function cpuOf(watched: readonly Watched[]): number[] {
  return watched.map(({ pid }) => cpuSeconds(pid))
}

/** What each has used since `before` for each of the messages, and the memory that it holds. */
export function costs(
  watched: readonly Watched[],
  before: readonly number[],
  messages: number
): { cpuMicrosPerMessage: Record<string, number>; residentMb: Record<string, number> } {
  return {
    cpuMicrosPerMessage: Object.fromEntries(
      watched.map(({ name, pid }, i) => [
        name,
        Math.round(((cpuSeconds(pid) - before[i]!) * 1e8) / messages) / 100
      ])
    ),
    residentMb: Object.fromEntries(watched.map(({ name, pid }) => [name, residentMb(pid)]))
  }
}

const REST_LOOK_MS = 2_000
const REST_SHARE = 0.1
/** Longer than the pause between two checkpoints may be. */
const REST_LOOKS = 18
const REST_ROUNDS_MAX = 150

/** The files of ten thousand queues take a while to be made and synced, each, and that begins some time after the messages came. */
export async function rested(pid: string): Promise<void> {
  const looks = [cpuSeconds(pid)]
  for (let left = REST_ROUNDS_MAX; left > 0; left--) {
    await new Promise(resolve => setTimeout(resolve, REST_LOOK_MS))
    looks.push(cpuSeconds(pid))
    if (looks.length <= REST_LOOKS) continue
    const spent = looks.at(-1)! - looks.shift()!
    if (spent * 1_000 < REST_LOOKS * REST_LOOK_MS * REST_SHARE) return
  }
}
