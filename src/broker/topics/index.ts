export { LimitReachedError, newTopic, queueCount, TopicService } from './topicService.ts'
