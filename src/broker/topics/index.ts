export { LimitReachedError, newTopic, TopicService } from './topicService.ts'
