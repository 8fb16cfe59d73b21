import type { Handler } from '../../dispatch/handler.ts'
import { runtimeInfo } from './runtimeInfo.ts'
import { statsData } from './statsData.ts'

export const statsAdminHandlers: readonly Handler[] = [runtimeInfo, statsData]
