import process from 'node:process'
import { main } from './lifetime.ts'
import { listProcesses } from './processList.ts'
import { shutdown } from './shutdown.ts'

await main(async () => {
  process.exitCode = shutdown(process.argv.slice(2), {
    processes: listProcesses,
    terminate: pid => void process.kill(pid, 'SIGTERM'),
    stdout: line => console.log(line),
    stderr: line => console.error(line)
  })
})
