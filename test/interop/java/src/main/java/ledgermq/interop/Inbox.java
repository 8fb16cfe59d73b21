package ledgermq.interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;

/** What a consumer was given, in the order in which it came. */
final class Inbox {
    private final List<MessageExt> messages = new ArrayList<>();

    synchronized void add(List<MessageExt> more) {
        messages.addAll(more);
    }

    synchronized List<MessageExt> all() {
        return new ArrayList<>(messages);
    }

    synchronized int size() {
        return messages.size();
    }

    Set<String> bodies() {
        Set<String> bodies = new HashSet<>();
        for (MessageExt message : all()) bodies.add(text(message));
        return bodies;
    }

    /** Waits until that many have come. */
    void await(int count) throws InterruptedException {
        Check.until(() -> size() >= count, () -> size() + " messages of " + count);
    }

    /** Starts the consumer on a topic; it takes everything. */
    Inbox consume(DefaultMQPushConsumer consumer, String topic, String tags) throws Exception {
        consumer.subscribe(topic, tags);
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            add(batch);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return this;
    }

    static String text(MessageExt message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }
}
