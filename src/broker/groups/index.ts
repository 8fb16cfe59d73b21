export { GroupService, newGroup } from './groupService.ts'
