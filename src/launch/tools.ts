import process from 'node:process'
import { runQuickstart } from '../admin/index.ts'
import { commandIo } from './environment.ts'
import { main } from './lifetime.ts'

await main(async () => {
  const [className = '', ...rest] = process.argv.slice(2)
  process.exitCode = await runQuickstart(className, rest, commandIo())
})
