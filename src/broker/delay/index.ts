export { DelayService } from './delayService.ts'
