export { DelayService } from './delayService.ts'
export { deliveryOf } from './delivery.ts'
