/**
 * The whole cluster in one thread, on simulated time, chance, disks and wires (raft.md 5.2).
 *
 *   npm run sim -- --seeds 1..1000 [--workers 2] [--minutes 10] [--first]
 *   npm run sim -- --seed 17 [--lines 200]
 *
 * Many seeds: a progress line, and for each seed that fails the command that plays it again. One seed: its plan, its log,
 * and what came of it; the trace hash is the same each time. Ends with status 1 when something does not hold.
 */
import process from 'node:process'
import { parseArgs } from 'node:util'
import { Campaign } from './campaign.ts'
import { runSeed } from './run.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string', default: '1..100' },
    workers: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    lines: { type: 'string', default: '100' },
    first: { type: 'boolean', default: false }
  }
})

function wholeNumber(name: string, text: string): number {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 0) {
    throw new Error(`--${name} ${text}: use a whole number`)
  }
  return number
}

async function playOne(seed: number): Promise<boolean> {
  const { lines, violations, ...rest } = await runSeed(seed)
  const shown = wholeNumber('lines', values.lines)
  if (shown > 0) console.log(lines.slice(-shown).join('\n'))
  console.log(rest)
  for (const violation of violations) console.log(`VIOLATION ${violation}`)
  return violations.length === 0
}

async function playMany(range: string): Promise<boolean> {
  const [first = '', last = first] = range.split('..')
  const campaign = new Campaign({
    firstSeed: wholeNumber('seeds', first),
    lastSeed: wholeNumber('seeds', last),
    workers: Math.max(1, wholeNumber('workers', values.workers)),
    timeMs: values.minutes === undefined ? null : Number(values.minutes) * 60_000,
    first: values.first,
    print: text => console.log(text)
  })
  return campaign.run()
}

const whole =
  values.seed === undefined
    ? await playMany(values.seeds)
    : await playOne(wholeNumber('seed', values.seed))
process.exit(whole ? 0 : 1)
