export { Registration } from './registration.ts'
