export { PopService } from './popService.ts'
