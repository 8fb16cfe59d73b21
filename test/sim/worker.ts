/** Plays the seeds that its parent names, one after the other. */
import process from 'node:process'
import { runSeed } from './run.ts'

process.on('message', ({ seed }: { seed: number }) => {
  void runSeed(seed).then(result => {
    // The log of a run that held is nobody's business.
    process.send!({ ...result, lines: [] })
  })
})
