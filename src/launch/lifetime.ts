import process from 'node:process'

/** What a shell shows for a program that wrote into a pipe without reader: 128 + SIGPIPE. */
const PIPE_CLOSED = 141

/**
 * Runs a program's main part; what it throws becomes one sentence on the standard error and this exit status. A reader of the
 * output that goes away (`… | head`) ends the program without a word.
 */
export async function main(run: () => Promise<void>, failureStatus = 1): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', endWithoutReader)
  try {
    await run()
  } catch (error) {
    process.stderr.write(`${sentence(error)}\n`)
    process.exit(failureStatus)
  }
}

function endWithoutReader(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(PIPE_CLOSED)
  // A full disk behind a redirection.
  process.stderr.write(`The output cannot be written: ${error.message}\n`)
  process.exit(1)
}

/** For a server: from now on a console that goes away (a closed terminal, an ended `tee`) does not end it. */
export function serveWithoutConsole(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.off('error', endWithoutReader)
    stream.on('error', () => {})
  }
}

/**
 * Calls `stop` for the first SIGTERM or SIGINT and ends the process when it resolves; a second signal is passed on as a
 * second call, which makes a graceful stop hurry.
 */
export function stopOnSignal(stop: () => Promise<void>): void {
  const onSignal = (): void => {
    stop().then(
      () => process.exit(0),
      error => {
        process.stderr.write(`${sentence(error)}\n`)
        process.exit(1)
      }
    )
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
}

/** What a person should read of an error. */
export function sentence(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code, syscall, port, path } = error as NodeJS.ErrnoException & { port?: number }
  if (code === 'EADDRINUSE' && syscall === 'listen') {
    return `Port ${port} is in use by another program.`
  }
  if (code === 'EACCES' && syscall === 'listen') return `No permission to listen on port ${port}.`
  if ((code === 'EACCES' || code === 'EPERM') && path !== undefined) {
    return `No permission for ${path}.`
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return `The disk is full${where(path)}: make room, then start again.`
  }
  if (code === 'ENOENT' && path !== undefined) return `${path} does not exist.`
  if (code === 'EISDIR') return `A file is expected${where(path)}, and this is a directory.`
  if ((code === 'ENOTDIR' || code === 'EEXIST') && path !== undefined) {
    return `A directory is expected at ${path}, and something else is there.`
  }
  return error.message
}

function where(path: string | undefined): string {
  return path === undefined ? '' : ` at ${path}`
}
