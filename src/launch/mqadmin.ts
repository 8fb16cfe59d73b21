import process from 'node:process'
import { runMqadmin } from '../admin/index.ts'
import { createRealPlatform } from '../platform/index.ts'

process.exitCode = await runMqadmin(process.argv.slice(2), {
  stdout: text => void process.stdout.write(text),
  stderr: text => void process.stderr.write(text),
  env: process.env,
  platform: createRealPlatform()
})
