import type { Handler } from '../../dispatch/handler.ts'
import { deleteGroup } from './deleteGroup.ts'
import { groupConfig } from './groupConfig.ts'
import { groupForbidden } from './groupForbidden.ts'
import { groupTable } from './groupTable.ts'
import { updateGroup } from './updateGroup.ts'
import { updateGroupList } from './updateGroupList.ts'

export const groupAdminHandlers: readonly Handler[] = [
  updateGroup,
  updateGroupList,
  deleteGroup,
  groupTable,
  groupConfig,
  groupForbidden
]
