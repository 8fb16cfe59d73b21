import process from 'node:process'
import { runMqadmin } from '../admin/index.ts'
import { commandIo } from './environment.ts'
import { main } from './lifetime.ts'
import { STORE_COMMANDS } from './storeCommands.ts'

await main(async () => {
  process.exitCode = await runMqadmin(process.argv.slice(2), commandIo(), STORE_COMMANDS)
})
