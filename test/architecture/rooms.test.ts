import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative, sep } from 'node:path'
import t from 'tap'

/** What each room may import, besides itself; docs/architecture.md draws it. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  platform: [],
  protocol: [],
  raft: ['platform'],
  remoting: ['platform', 'protocol'],
  store: ['platform', 'protocol', 'raft'],
  broker: ['platform', 'protocol', 'raft', 'remoting', 'store'],
  namesrv: ['platform', 'protocol', 'remoting'],
  client: ['platform', 'protocol', 'remoting'],
  admin: ['platform', 'protocol', 'remoting', 'client'],
  // Tools on a stopped broker's files read them without a broker.
  launch: ['platform', 'protocol', 'raft', 'store', 'broker', 'namesrv', 'client', 'admin']
}

/** Node.js' modules that only compute; everything else of Node.js is the platform's business. */
const PURE_MODULES = new Set(['node:buffer', 'node:path', 'node:zlib', 'node:util', 'node:crypto'])
/** The programs' own outer rim: arguments, exit codes, signals and child processes. */
const LAUNCH_MODULES = new Set(['node:child_process', 'node:process', 'node:fs', 'node:os'])
const LINES_MAX = 500

interface SourceFile {
  path: string
  room: string
  text: string
}

const sources: SourceFile[] = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.ts'))
  .map(name => {
    const path = join('src', name)
    return { path, room: name.split(sep)[0]!, text: readFileSync(path, 'utf8') }
  })

function importsOf(file: SourceFile): string[] {
  const found: string[] = []
  for (const match of file.text.matchAll(/(?:from|import)\s+'([^']+)'|import\('([^']+)'\)/g)) {
    found.push((match[1] ?? match[2])!)
  }
  return found
}

t.test('every folder of src is a room that the list knows', async t => {
  t.ok(sources.length > 0, 'there is something to look at')
  for (const room of new Set(sources.map(file => file.room))) t.ok(room in MAY_IMPORT, room)
})

t.test('imports between rooms point downwards and go through the door', async t => {
  for (const file of sources) {
    for (const name of importsOf(file)) {
      if (!name.startsWith('.')) continue
      const target = normalize(join(dirname(file.path), name))
      const room = relative('src', target).split(sep)[0]!
      if (room === file.room) continue
      t.ok(MAY_IMPORT[file.room]?.includes(room), `${file.path} may not import ${room}`)
      t.equal(target, join('src', room, 'index.ts'), `${file.path} goes past the door of ${room}`)
    }
  }
})

t.test('only the platform uses what Node.js has of files, sockets and processes', async t => {
  for (const file of sources) {
    if (file.room === 'platform') continue
    for (const name of importsOf(file)) {
      if (!name.startsWith('node:')) continue
      const allowed = PURE_MODULES.has(name) || (file.room === 'launch' && LAUNCH_MODULES.has(name))
      t.ok(allowed, `${file.path} imports ${name}`)
    }
  }
})

t.test('nothing but the platform asks for the time, for chance or for a timer', async t => {
  const banned =
    /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\brandom(?:Bytes|UUID|Int|Fill)\w*\(|\bset(?:Timeout|Interval|Immediate)\(|\bperformance\.now\(|\bprocess\.nextTick\(|\bqueueMicrotask\(/
  for (const file of sources) {
    if (file.room === 'platform') continue
    const line = file.text.split('\n').findIndex(text => banned.test(text))
    t.equal(line, -1, `${file.path}:${line + 1} must take it from the platform`)
  }
})

t.test('the Raft core does no input or output', async t => {
  const core = sources.filter(file => file.path.startsWith(join('src', 'raft', 'core')))
  t.ok(core.length > 0)
  for (const file of core) {
    for (const name of importsOf(file)) {
      t.ok(name.startsWith('./'), `${file.path} imports ${name}`)
    }
  }
})

t.test('a file holds one idea', async t => {
  for (const file of sources) {
    const lines = file.text.split('\n').length
    t.ok(lines <= LINES_MAX, `${file.path} has ${lines} lines, at most ${LINES_MAX}`)
  }
})

t.test('no file of src is left over', async t => {
  const imported = new Set<string>()
  for (const file of sources) {
    for (const name of importsOf(file)) {
      if (name.startsWith('.')) imported.add(normalize(join(dirname(file.path), name)))
    }
  }
  for (const file of sources) {
    // The programs that bin/ starts, and the package's own door.
    if (dirname(file.path) === join('src', 'launch')) continue
    if (file.path === join('src', 'client', 'index.ts')) continue
    t.ok(imported.has(file.path), `${file.path} is imported nowhere`)
  }
})
