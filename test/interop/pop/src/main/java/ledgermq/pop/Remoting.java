package ledgermq.pop;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** A push consumer of 5.3.3 that leaves the assignment to the broker and consumes by POP. */
final class Remoting {
    private static final long SHORTEST_INVISIBLE_MS = 5_000;

    /** What was consumed, in the order in which it came. */
    static final class Inbox {
        private final List<MessageExt> messages = new ArrayList<>();

        synchronized void add(List<MessageExt> more) {
            messages.addAll(more);
        }

        synchronized List<MessageExt> all() {
            return new ArrayList<>(messages);
        }

        List<String> bodies() {
            return all().stream().map(Remoting::text).sorted().collect(Collectors.toList());
        }

        void await(int count) throws Exception {
            Check.until(() -> all().size() >= count, () -> all().size() + " messages of " + count);
        }
    }

    static void everything(Cluster cluster) throws Exception {
        String topic = topic(cluster, "PopAll", 4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(cluster, "GPopAll", topic, "*");
        start(consumer, inbox);
        List<String> sent = send(cluster, topic, 200, "");
        inbox.await(200);
        Thread.sleep(1_000);
        Check.equal(sent, inbox.bodies(), "each once");
        for (MessageExt message : inbox.all()) {
            Check.holds(message.getProperty("POP_CK") != null, "a message that was popped has a handle");
            Check.equal(0, message.getReconsumeTimes(), "deliveries before");
        }
        Check.until(() -> cluster.backlog("GPopAll", topic) == 0, () -> "a backlog is left");
        Check.equal(0L, cluster.messages("%RETRY%GPopAll_" + topic), "what came back");
        consumer.shutdown();
    }

    static void shared(Cluster cluster) throws Exception {
        String topic = topic(cluster, "PopShared", 1);
        Inbox first = new Inbox();
        Inbox second = new Inbox();
        List<DefaultMQPushConsumer> consumers = new ArrayList<>();
        for (Inbox inbox : List.of(first, second)) {
            DefaultMQPushConsumer consumer = consumer(cluster, "GPopShared", topic, "*");
            consumer.setPopBatchNums(4);
            start(consumer, inbox);
            consumers.add(consumer);
        }
        // More clients than queues: with POP both have some all the same.
        List<String> sent = new ArrayList<>();
        for (int round = 0; round < 20; round++) sent.addAll(send(cluster, topic, 20, "r" + round + "-"));
        Check.until(() -> first.all().size() + second.all().size() >= 400, () -> first.all().size() + " and " + second.all().size());
        List<String> all = new ArrayList<>(first.bodies());
        all.addAll(second.bodies());
        Check.equal(sent.stream().sorted().collect(Collectors.toList()), all.stream().sorted().collect(Collectors.toList()), "each once");
        Check.holds(!first.all().isEmpty() && !second.all().isEmpty(), "both consumed of the one queue");
        consumers.forEach(DefaultMQPushConsumer::shutdown);
    }

    static void later(Cluster cluster) throws Exception {
        String topic = topic(cluster, "PopLater", 2);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(cluster, "GPopLater", topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            inbox.add(batch);
            return batch.get(0).getReconsumeTimes() == 0
                ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        send(cluster, topic, 1, "");
        inbox.await(2);
        MessageExt first = inbox.all().get(0);
        MessageExt second = inbox.all().get(1);
        Check.equal(first.getMsgId(), second.getMsgId(), "the same message");
        Check.equal(1, second.getReconsumeTimes(), "deliveries before the second");
        Check.equal(first.getProperty("1ST_POP_TIME") == null, false, "the first pop is noted by the client");
        Check.holds(second.getProperty("1ST_POP_TIME") != null, "and by the broker");
        Check.equal(topic, second.getTopic(), "its topic is its own");
        Thread.sleep(2_000);
        Check.equal(2, inbox.all().size(), "deliveries");
        consumer.shutdown();
    }

    static void takenOver(Cluster cluster) throws Exception {
        String topic = topic(cluster, "PopTaken", 1);
        CountDownLatch never = new CountDownLatch(1);
        Inbox stuck = new Inbox();
        DefaultMQPushConsumer first = consumer(cluster, "GPopTaken", topic, "*");
        first.setPopInvisibleTime(SHORTEST_INVISIBLE_MS);
        first.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            stuck.add(batch);
            try {
                never.await(60, TimeUnit.SECONDS);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        first.start();
        send(cluster, topic, 1, "");
        stuck.await(1);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer second = consumer(cluster, "GPopTaken", topic, "*");
        start(second, inbox);
        Check.until(() -> inbox.all().size() + stuck.all().size() >= 2, () -> "it did not come back");
        never.countDown();
        first.shutdown();
        second.shutdown();
    }

    static void tags(Cluster cluster) throws Exception {
        String topic = topic(cluster, "PopTags", 2);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(cluster, "GPopTags", topic, "A || C");
        start(consumer, inbox);
        DefaultMQProducer producer = producer(cluster);
        for (String tag : List.of("A", "B", "C", "D")) {
            for (int i = 0; i < 5; i++) producer.send(new Message(topic, tag, (tag + i).getBytes(StandardCharsets.UTF_8)));
        }
        producer.shutdown();
        inbox.await(10);
        Thread.sleep(500);
        Check.equal(List.of("A0", "A1", "A2", "A3", "A4", "C0", "C1", "C2", "C3", "C4"), inbox.bodies(), "what matches");
        consumer.shutdown();
    }

    /** What was sent comes, and comes once unless it came back from a retry topic. */
    static void killed(Cluster cluster, String kill, String restore) throws Exception {
        String topic = topic(cluster, "PopKilled", 4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(cluster, "GPopKilled", topic, "*");
        consumer.setPopInvisibleTime(10_000);
        start(consumer, inbox);
        List<String> sent = new ArrayList<>(send(cluster, topic, 100, "before-"));
        Runnable restart = cluster.killLeader(kill, restore);
        DefaultMQProducer producer = producer(cluster);
        for (int i = 0; i < 100; i++) {
            String body = "after-" + i;
            for (int attempt = 0; ; attempt++) {
                try {
                    producer.send(new Message(topic, body.getBytes(StandardCharsets.UTF_8)));
                    break;
                } catch (Exception failed) {
                    if (attempt == 60) throw failed;
                    Thread.sleep(500);
                }
            }
            sent.add(body);
        }
        producer.shutdown();
        Check.until(() -> inbox.bodies().stream().distinct().count() == sent.size(), () -> inbox.bodies().stream().distinct().count() + " of " + sent.size());
        List<String> first = inbox.all().stream()
            .filter(message -> message.getReconsumeTimes() == 0)
            .map(Remoting::text)
            .filter(text -> text.startsWith("before-"))
            .collect(Collectors.toList());
        Check.equal((long) first.size(), first.stream().distinct().count(), "first deliveries of what was sent once");
        restart.run();
        consumer.shutdown();
    }

    private static String topic(Cluster cluster, String name, int queues) throws Exception {
        cluster.topic(name, queues, "NORMAL");
        cluster.group("G" + name, false, 16);
        cluster.popMode(name, "G" + name);
        return name;
    }

    private static DefaultMQPushConsumer consumer(Cluster cluster, String group, String topic, String tags)
        throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(cluster.nameServer);
        consumer.setInstanceName(group + System.nanoTime());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setClientRebalance(false);
        consumer.subscribe(topic, tags);
        return consumer;
    }

    private static void start(DefaultMQPushConsumer consumer, Inbox inbox) throws Exception {
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            inbox.add(batch);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
    }

    private static DefaultMQProducer producer(Cluster cluster) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("PPop");
        producer.setNamesrvAddr(cluster.nameServer);
        producer.setInstanceName("PPop" + System.nanoTime());
        producer.start();
        return producer;
    }

    /** The bodies, sorted. */
    private static List<String> send(Cluster cluster, String topic, int count, String prefix) throws Exception {
        DefaultMQProducer producer = producer(cluster);
        List<String> bodies = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            String body = prefix + i;
            producer.send(new Message(topic, body.getBytes(StandardCharsets.UTF_8)));
            bodies.add(body);
        }
        producer.shutdown();
        return bodies.stream().sorted().collect(Collectors.toList());
    }

    static String text(MessageExt message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    private Remoting() {}
}
