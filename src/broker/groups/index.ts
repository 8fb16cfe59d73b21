export { ForbiddenReads } from './forbiddenReads.ts'
export { GroupService } from './groupService.ts'
