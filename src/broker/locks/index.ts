import type { Handler } from '../dispatch/handler.ts'
import { lockQueues, unlockQueues } from './lockQueues.ts'

export const lockHandlers: readonly Handler[] = [lockQueues, unlockQueues]
