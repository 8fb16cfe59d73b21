export { ForbiddenReads } from './forbiddenReads.ts'
export { GroupService, isSystemGroup } from './groupService.ts'
