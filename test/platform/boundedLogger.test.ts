import t from 'tap'
import { BoundedLogger } from '../../src/platform/index.ts'
import { FakeClock } from '../helpers/fakeClock.ts'
import { RecordingLogger } from '../helpers/recordingLogger.ts'

t.test('a flood of one sentence is cut, others are heard, and the rest is counted', t => {
  const clock = new FakeClock()
  const target = new RecordingLogger()
  const logger = new BoundedLogger(target, clock)
  for (let n = 0; n < 100_000; n++) logger.warn('connection dropped', { n })
  logger.error('the disk is full')
  logger.info('leads now')
  t.equal(target.lines.length, 202)
  clock.advance(10_000)
  logger.warn('connection dropped', { n: 1 })
  const [summary, next] = target.lines.slice(202)
  t.strictSame(summary, {
    level: 'warn',
    message: 'lines were left out, there were too many',
    fields: { count: 99_800 }
  })
  t.strictSame(next, { level: 'warn', message: 'connection dropped', fields: { n: 1 } })
  t.end()
})

t.test('sentences that differ each time are cut too, and are not remembered for ever', t => {
  const clock = new FakeClock()
  const target = new RecordingLogger()
  const logger = new BoundedLogger(target, clock)
  for (let n = 0; n < 20_000; n++) logger.info(`client ${n} came`)
  t.equal(target.lines.length, 5_000)
  t.end()
})

t.test('debug lines are not counted', t => {
  const target = new RecordingLogger()
  const logger = new BoundedLogger(target, new FakeClock())
  for (let n = 0; n < 1_000; n++) logger.debug('frame')
  t.equal(target.lines.length, 1_000)
  t.end()
})
