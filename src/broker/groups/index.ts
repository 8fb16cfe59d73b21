export { GroupService } from './groupService.ts'
