import type net from 'node:net'
import process from 'node:process'

/** SOL_SOCKET and SO_LINGER of the systems whose accepted sockets inherit the option from the listening one. */
const OPTION: Readonly<Partial<Record<NodeJS.Platform, { level: number; name: number }>>> = {
  linux: { level: 1, name: 13 },
  darwin: { level: 0xffff, name: 0x80 }
}

type SetSockOpt = (fd: number, level: number, name: number, value: Buffer, bytes: number) => number

let loading: Promise<SetSockOpt | null> | null = null

/** Null where the system has no such option known here, or the foreign function interface is not installed. */
function load(): Promise<SetSockOpt | null> {
  loading ??= import('koffi').then(
    ({ default: koffi }) =>
      koffi
        .load(null)
        .func('int setsockopt(int fd, int level, int name, const void *value, uint32_t bytes)'),
    () => null
  )
  return loading
}

/**
 * Has the kernel reset the server's connections, instead of ending them in order, when this process dies. A RocketMQ client of
 * 4.9 fails its calls in flight at once when its connection is reset; after an orderly end it waits out each call's time-out,
 * 3 s for a send. Node.js cannot set the option itself. Call before `listen`; resolves to what is to be done once it listens.
 */
export async function prepareLingerReset(): Promise<(server: net.Server) => void> {
  const option = OPTION[process.platform]
  const setSockOpt = option === undefined ? null : await load()
  if (option === undefined || setSockOpt === null) return () => {}
  // struct linger { int l_onoff = 1; int l_linger = 0; }
  const value = Buffer.alloc(8)
  value.writeInt32LE(1, 0)
  return server => {
    const { _handle: handle } = server as unknown as { _handle?: { fd?: number } | null }
    if (handle?.fd === undefined || handle.fd < 0) return
    setSockOpt(handle.fd, option.level, option.name, value, value.length)
  }
}
