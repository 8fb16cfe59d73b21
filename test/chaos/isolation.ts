import { execFile, spawn } from 'node:child_process'
import process from 'node:process'
import { promisify } from 'node:util'

const exec = promisify(execFile)

/** Set in the process that runs inside. */
const INSIDE = 'LEDGERMQ_CHAOS_INSIDE'

/**
 * A run lives in namespaces of its own for network, mounts and process ids: it cannot get in the way of anything on the machine, and
 * nothing of it outlives it, however it ends. A user who is not root becomes root of a user namespace.
 */
const NAMESPACES = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']

export function isInside(): boolean {
  return process.env[INSIDE] === '1'
}

/** Null when namespaces can be had; else a sentence on what is missing. */
export async function missing(): Promise<string | null> {
  const natsServer = process.env['NATS_SERVER'] ?? 'nats-server'
  try {
    await exec(natsServer, ['--version'])
  } catch {
    return (
      `There is no ${natsServer}: install it (Debian and Ubuntu: apt-get install nats-server; ` +
      'others: https://nats.io/download), or name the program in NATS_SERVER.'
    )
  }
  try {
    await exec('ip', ['-V'])
  } catch {
    return 'There is no ip command: install iproute2 (Debian and Ubuntu: apt-get install iproute2).'
  }
  try {
    const test = 'mount -t tmpfs tmpfs /run && ip netns add n0 && ip link add hub type bridge'
    await exec('unshare', [...namespaces(), 'sh', '-c', test])
  } catch (error) {
    const text = (error as { stderr?: string }).stderr?.trim() ?? ''
    return (
      `Network and mount namespaces cannot be made here (${text}). Run as root, in a container ` +
      'with --privileged, or let users make namespaces: sysctl kernel.unprivileged_userns_clone=1'
    )
  }
  return null
}

/** Runs this program again inside, with the same arguments; resolves to its exit status. */
export function runInside(): Promise<number> {
  const child = spawn(
    'unshare',
    [...namespaces(), process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } }
  )
  // unshare itself takes no notice of these; with it all that runs inside is killed.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => child.kill('SIGKILL'))
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', code => resolve(code ?? 1))
  })
}

function namespaces(): string[] {
  return process.getuid?.() === 0 ? NAMESPACES : ['--user', '--map-root-user', ...NAMESPACES]
}
