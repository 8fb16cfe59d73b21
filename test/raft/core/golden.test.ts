import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { Script } from './script.ts'

/** Blocks of commands, `----`, and what they must show. `REWRITE=1` writes what they show now; read the diff. */
const directory = 'test/raft/core/testdata'

for (const file of readdirSync(directory).filter(name => name.endsWith('.txt'))) {
  const path = `${directory}/${file}`
  const blocks = readFileSync(path, 'utf8').trimEnd().split(/\n\n+/)
  const script = new Script()
  const actual = blocks.map(block => {
    const [head = ''] = block.split('\n----')
    const commands = head
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('#'))
      .join('\n')
    if (commands === '') return block
    try {
      return `${head}\n----\n${script.run(commands)}`
    } catch (error) {
      return `${head}\n----\nTHROWN ${error instanceof Error ? error.message : String(error)}`
    }
  })
  if (process.env['REWRITE'] === '1') writeFileSync(path, `${actual.join('\n\n')}\n`)
  else
    t.equal(
      actual.join('\n\n'),
      blocks.join('\n\n'),
      `${file.replace('.txt', '').replaceAll('-', ' ')}`
    )
}
