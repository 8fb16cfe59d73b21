export {
  deadLetterPrefix,
  deadLetterTopic,
  isClosedToSenders,
  isGroupName,
  isSystemName,
  replyTopic,
  retryPrefix,
  retryTopic,
  SystemTopic,
  topicNameProblem
} from './names.ts'
export { LimitReachedError, newTopic, TopicService } from './topicService.ts'
