import process from 'node:process'

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

/** Runs a program's main part; what it throws becomes one sentence on the standard error and this exit status. */
export async function main(run: () => Promise<void>, failureStatus = 1): Promise<void> {
  try {
    await run()
  } catch (error) {
    process.stderr.write(`${sentence(error)}\n`)
    process.exit(failureStatus)
  }
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
  if (code === 'ENOENT' && path !== undefined) return `${path} does not exist.`
  return error.message
}
