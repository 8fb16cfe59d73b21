import type { Handler } from '../../dispatch/handler.ts'
import { showConfig } from './showConfig.ts'
import { updateConfig } from './updateConfig.ts'

export const settingsAdminHandlers: readonly Handler[] = [showConfig, updateConfig]
