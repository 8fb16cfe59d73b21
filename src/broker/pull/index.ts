export { PullHolds } from './holds.ts'
export { PullPath } from './pullPath.ts'
