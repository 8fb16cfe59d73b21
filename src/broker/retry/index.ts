export { consumerSendBack, hostBits } from './sendBack.ts'
