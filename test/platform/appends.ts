/** Appends to a file until it is killed: `node appends.js PATH`. A line before each append with its end, one behind it with `done`. */
import process from 'node:process'
import { realDisk } from '../../src/platform/realDisk.ts'
import { generator } from '../helpers/generator.ts'
import { appended } from './appended.ts'

const BYTES_MAX = 4_000_000
const FILE_BYTES_MAX = 300_000_000

const random = generator(1)
const file = await realDisk.open(process.argv[2] as string, { create: true })
for (let at = 0; at < FILE_BYTES_MAX; ) {
  const end = at + 1 + Math.floor(random() * BYTES_MAX)
  const bytes = appended(at, end)
  process.stdout.write(`${end}\n`)
  await file.appendDurably([bytes], at)
  process.stdout.write('done\n')
  at = end
}
