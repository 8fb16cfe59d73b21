import { type Blocks, ReusedBlocks } from './blocks.ts'
import type { Clock } from './clock.ts'
import type { Disk } from './disk.ts'
import type { Host } from './host.ts'
import type { Network } from './network.ts'
import type { Random } from './random.ts'
import { realClock } from './realClock.ts'
import { realDisk } from './realDisk.ts'
import { realHost } from './realHost.ts'
import { realNetwork } from './realNetwork.ts'
import { realRandom } from './realRandom.ts'

/** Everything that a room needs of the outside world. */
export interface Platform {
  clock: Clock
  random: Random
  disk: Disk
  network: Network
  host: Host
  blocks: Blocks
}

/** The real machine. A simulation passes its own. */
export function createRealPlatform(): Platform {
  return {
    clock: realClock,
    random: realRandom,
    disk: realDisk,
    network: realNetwork,
    host: realHost,
    blocks: new ReusedBlocks()
  }
}
