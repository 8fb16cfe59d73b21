import process from 'node:process'
import { runQuickstart } from '../admin/index.ts'
import { createRealPlatform } from '../platform/index.ts'

const [className = '', ...rest] = process.argv.slice(2)
process.exitCode = await runQuickstart(className, rest, {
  stdout: text => void process.stdout.write(text),
  stderr: text => void process.stderr.write(text),
  env: process.env,
  platform: createRealPlatform()
})
