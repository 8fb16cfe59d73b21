import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { generator } from '../helpers/generator.ts'
import { appended } from './appended.ts'

const PAGE_BYTES = 4096
const KILLS = 8
const KILL_WITHIN_MS = 250

t.test(
  'a kill leaves what was acknowledged, and of the append under way no more than its first pages',
  async t => {
    const random = generator(3)
    const path = join(t.testdir(), 'file')
    const program = join(import.meta.dirname, 'appends.js')
    let torn = 0
    for (let kill = 0; kill < KILLS; kill++) {
      rmSync(path, { force: true })
      const child = spawn(process.execPath, [program, path], {
        stdio: ['ignore', 'pipe', 'inherit']
      })
      let said = ''
      child.stdout.on('data', data => {
        said += data
      })
      while (!said.includes('done')) await sleep(5)
      await sleep(random() * KILL_WITHIN_MS)
      child.kill('SIGKILL')
      await once(child, 'close')
      const lines = said.trim().split('\n')
      const ends = lines.filter(line => line !== 'done').map(Number)
      const acknowledged = lines.at(-1) === 'done' ? ends.at(-1)! : ends.at(-2)!
      const end = ends.at(-1)!
      const file = readFileSync(path)
      const expected = appended(0, end)
      let same = 0
      while (same < Math.min(end, file.length) && file[same] === expected[same]) same += 1
      t.ok(same >= acknowledged, `${acknowledged} bytes are there`)
      t.ok(
        same === end || same === acknowledged || same % PAGE_BYTES === 0,
        'an append ends where a page does'
      )
      t.ok(
        file.subarray(same).every(byte => byte === 0),
        'and nothing is behind it'
      )
      if (same > acknowledged && same < end) torn += 1
    }
    t.comment(`${torn} of ${KILLS} kills came within an append`)
  }
)
