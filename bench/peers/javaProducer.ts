import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { costs, cpuOf, watchedProcesses } from '../processes.ts'
import { Children, makeDirectory, pidArgs, type Target } from '../system.ts'
import type { Report } from '../window.ts'
import { JAVA_17_FLAGS, mavenCache, resolveClassPath, VERSION } from './rocketmq.ts'

const exec = promisify(execFile)
const MAIN = 'org.apache.rocketmq.example.benchmark.Producer'
const PACKAGE = 'example/src/main/java/org/apache/rocketmq/example/benchmark'
const SOURCES = ['Producer.java', 'AclClient.java'].map(name => `${PACKAGE}/${name}`)
const REPOSITORY = 'https://github.com/apache/rocketmq.git'
const TAG = `rocketmq-all-${VERSION}`
const THREADS = 64
const HEAP = '1g'
/** It prints what it sent in the ten seconds before. */
const SECONDS_PER_LINE = 10
const LOOK_MS = 50
/** The first line comes after ten or twenty seconds. */
const LINE_TIMEOUT_MS = 60_000

/**
 * The class path of the original's benchmark producer, or why there is none. Maven Central has no `rocketmq-example`, so two
 * source files are taken from the project's repository (ROCKETMQ_GIT for another copy of it) and compiled; kept in the cache.
 */
export async function resolveProducer(): Promise<{ text: string } | { reason: string }> {
  const libraries = await resolveClassPath()
  if ('reason' in libraries) return libraries
  const classes = join(mavenCache(), 'producer-classes')
  const compiled = join(classes, `${MAIN.replaceAll('.', '/')}.class`)
  const text = [classes, libraries.text].join(delimiter)
  if (await readFile(compiled).catch(() => null)) return { text }
  const sources = await mkdtemp(join(mavenCache(), 'sources-'))
  try {
    const url = process.env['ROCKETMQ_GIT'] ?? REPOSITORY
    const shallow = ['--depth', '1', '--filter=blob:none', '--no-checkout']
    await exec('git', ['clone', '-q', ...shallow, '--branch', TAG, url, sources])
    await exec('git', ['-C', sources, 'checkout', '-q', TAG, '--', ...SOURCES])
    // Another place until all is there: an interrupted compiler leaves half of it.
    const unfinished = join(sources, 'classes')
    await mkdir(unfinished)
    const files = SOURCES.map(source => join(sources, source))
    await exec('javac', ['-nowarn', '-d', unfinished, '-cp', libraries.text, ...files])
    await rename(unfinished, classes)
    return { text }
  } catch (error) {
    const { path, code, stderr } = error as { path?: string; code?: string; stderr?: string }
    if (code === 'ENOENT') return { reason: `no ${path} on the PATH` }
    return { reason: `its source cannot be had or compiled: ${stderr?.trim() ?? error}` }
  } finally {
    await rm(sources, { recursive: true, force: true })
  }
}

/** What one of its lines says. */
export interface ProducerLine {
  sendsPerSecond: number
  /** Since its start. */
  refused: number
}

/** Of all its lines that say how many were sent. */
export function producerLines(output: string): ProducerLine[] {
  const line =
    /^Current Time: .*Send TPS: (\d+) Max RT\(ms\): .*Send Failed: (\d+) Response Failed: (\d+)$/gm
  return [...output.matchAll(line)].map(([, sends, failed, refused]) => ({
    sendsPerSecond: Number(sends),
    refused: Number(failed) + Number(refused)
  }))
}

/** Runs it for a line that does not count and as many others as the seconds need. Its latencies are means, and are left out. */
export async function measureProducer(
  classPath: string,
  target: Target,
  topic: string,
  sizeBytes: number,
  seconds: number
): Promise<Report> {
  const directory = await makeDirectory('producer')
  const children = new Children()
  try {
    const file = join(directory, 'out')
    const java = [`-Xms${HEAP}`, `-Xmx${HEAP}`, ...JAVA_17_FLAGS, `-Duser.home=${directory}`]
    const load = ['-n', target.nameServer, '-t', topic, '-s', `${sizeBytes}`, '-w', `${THREADS}`]
    const child = children.spawn('java', [...java, '-cp', classPath, MAIN, ...load], file)
    const pids = pidArgs(target.leaderPid, target.followerPids).filter(word => word !== '--pid')
    const watched = watchedProcesses(pids, String(child.pid))
    const lines = async (count: number): Promise<ProducerLine[]> => {
      const deadlineMs = performance.now() + LINE_TIMEOUT_MS + count * SECONDS_PER_LINE * 1000
      for (;;) {
        const output = await readFile(file, 'utf8')
        const said = producerLines(output)
        if (said.length >= count) return said
        if (child.exitCode !== null || performance.now() > deadlineMs) {
          throw new Error(`the Java producer gave ${said.length} of ${count} lines:\n${output}`)
        }
        await new Promise(resolve => setTimeout(resolve, LOOK_MS))
      }
    }
    const first = await lines(1)
    const before = cpuOf(watched)
    const counted = (await lines(1 + Math.ceil(seconds / SECONDS_PER_LINE))).slice(1)
    const rate = counted.reduce((sum, line) => sum + line.sendsPerSecond, 0) / counted.length
    const refused = counted.at(-1)!.refused - first.at(-1)!.refused
    return {
      messagesPerSecond: Math.round(rate),
      refused,
      ...(refused > 0 ? { lastRefusal: 'the producer does not say why' } : {}),
      ...costs(watched, before, rate * counted.length * SECONDS_PER_LINE)
    }
  } finally {
    await children.stop()
    await rm(directory, { recursive: true, force: true })
  }
}
