package ledgermq.interop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Every kind of send. */
final class Sending {
    static Message message(String topic, String tag, String body) {
        return new Message(topic, tag, body.getBytes(StandardCharsets.UTF_8));
    }

    static void synchronous(Clients clients) throws Exception {
        DefaultMQProducer producer = clients.producer();
        Map<MessageQueue, Long> next = new HashMap<>();
        Set<String> ids = new HashSet<>();
        SendResult last = null;
        for (int i = 0; i < 40; i += 1) {
            last = producer.send(message(clients.topic(), "T", "m" + i));
            Check.equal(SendStatus.SEND_OK, last.getSendStatus(), "status of message " + i);
            Check.equal("RaftNode00", last.getMessageQueue().getBrokerName(), "broker");
            Check.equal(next.getOrDefault(last.getMessageQueue(), 0L), last.getQueueOffset(), "queue offset");
            next.put(last.getMessageQueue(), last.getQueueOffset() + 1);
            ids.add(last.getMsgId());
        }
        Check.equal(40, ids.size(), "message ids");
        for (MessageQueue queue : producer.fetchPublishMessageQueues(clients.topic())) {
            Check.equal(0L, producer.minOffset(queue), "first offset of " + queue);
            Check.equal(next.getOrDefault(queue, 0L), producer.maxOffset(queue), "end of " + queue);
        }
        MessageExt found = producer.viewMessage(clients.topic(), last.getOffsetMsgId());
        Check.equal("m39", Inbox.text(found), "body by offset id");
        Check.equal(last.getQueueOffset(), found.getQueueOffset(), "queue offset by offset id");
    }

    static void asynchronous(Clients clients) throws Exception {
        DefaultMQProducer producer = clients.producer();
        int count = 100;
        // The first send makes the topic.
        producer.send(message(clients.topic(), "T", "first"));
        CountDownLatch open = new CountDownLatch(count);
        AtomicInteger calls = new AtomicInteger();
        List<String> troubles = new ArrayList<>();
        for (int i = 0; i < count; i += 1) {
            producer.send(message(clients.topic(), "T", "m" + i), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    calls.incrementAndGet();
                    open.countDown();
                }

                @Override
                public void onException(Throwable error) {
                    synchronized (troubles) {
                        troubles.add(error.toString());
                    }
                    open.countDown();
                }
            });
        }
        Check.holds(open.await(40, TimeUnit.SECONDS), open.getCount() + " sends without an answer");
        Check.equal(List.of(), troubles, "failed sends");
        Inbox inbox = new Inbox().consume(clients.pushConsumer(), clients.topic(), "*");
        inbox.await(count + 1);
        Check.equal(count + 1, inbox.bodies().size(), "different messages");
        Check.equal(count, calls.get(), "calls back");
    }

    static void oneWay(Clients clients) throws Exception {
        DefaultMQProducer producer = clients.producer();
        producer.send(message(clients.topic(), "T", "first"));
        for (int i = 0; i < 50; i += 1) producer.sendOneway(message(clients.topic(), "T", "m" + i));
        Inbox inbox = new Inbox().consume(clients.pushConsumer(), clients.topic(), "*");
        inbox.await(51);
        Check.equal(51, inbox.bodies().size(), "different messages");
    }

    static void batch(Clients clients) throws Exception {
        DefaultMQProducer producer = clients.producer();
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 20; i += 1) batch.add(message(clients.topic(), "T", "m" + i));
        SendResult result = producer.send(batch);
        Check.equal(SendStatus.SEND_OK, result.getSendStatus(), "status");
        Check.equal(20, result.getMsgId().split(",").length, "message ids");
        Check.equal(20, result.getOffsetMsgId().split(",").length, "offset ids");
        Inbox inbox = new Inbox().consume(clients.pushConsumer(), clients.topic(), "*");
        inbox.await(20);
        String[] byOffset = new String[20];
        for (MessageExt message : inbox.all()) {
            Check.equal(result.getMessageQueue().getQueueId(), message.getQueueId(), "queue");
            byOffset[(int) (message.getQueueOffset() - result.getQueueOffset())] = Inbox.text(message);
        }
        for (int i = 0; i < 20; i += 1) Check.equal("m" + i, byOffset[i], "message at place " + i);
    }

    static void largeBodies(Clients clients) throws Exception {
        DefaultMQProducer producer = clients.producer();
        byte[] noise = new byte[1_000_000];
        new Random(1).nextBytes(noise);
        byte[] same = new byte[300_000];
        Arrays.fill(same, (byte) 'x');
        byte[] one = {0};
        Map<String, byte[]> sent = Map.of("noise", noise, "same", same, "one", one);
        for (Map.Entry<String, byte[]> entry : sent.entrySet()) {
            Message message = new Message(clients.topic(), "T", entry.getKey(), entry.getValue());
            Check.equal(SendStatus.SEND_OK, producer.send(message).getSendStatus(), entry.getKey());
        }
        Inbox inbox = new Inbox().consume(clients.pushConsumer(), clients.topic(), "*");
        inbox.await(sent.size());
        for (MessageExt message : inbox.all()) {
            byte[] body = sent.get(message.getKeys());
            Check.holds(Arrays.equals(body, message.getBody()), "another body: " + message.getKeys());
        }
    }

    static void properties(Clients clients) throws Exception {
        DefaultMQProducer producer = clients.producer();
        Message message = message(clients.topic(), "Tag-Ä", "grün 漢字");
        message.setKeys(List.of("key1", "key2"));
        message.setFlag(7);
        message.putUserProperty("colour", "grün");
        message.putUserProperty("equation", "a=b;c:d");
        SendResult result = producer.send(message);
        Inbox inbox = new Inbox().consume(clients.pushConsumer(), clients.topic(), "*");
        inbox.await(1);
        MessageExt found = inbox.all().get(0);
        Check.equal("grün 漢字", Inbox.text(found), "body");
        Check.equal("Tag-Ä", found.getTags(), "tag");
        Check.equal("key1 key2", found.getKeys(), "keys");
        Check.equal(7, found.getFlag(), "flag");
        Check.equal("grün", found.getUserProperty("colour"), "property");
        Check.equal("a=b;c:d", found.getUserProperty("equation"), "property");
        Check.equal(result.getMsgId(), found.getMsgId(), "message id");
        Check.equal(0, found.getReconsumeTimes(), "times consumed before");
    }

    private Sending() {}
}
