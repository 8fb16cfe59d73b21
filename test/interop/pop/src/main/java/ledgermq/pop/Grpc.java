package ledgermq.pop;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.apis.ClientConfiguration;
import org.apache.rocketmq.client.apis.ClientServiceProvider;
import org.apache.rocketmq.client.apis.consumer.ConsumeResult;
import org.apache.rocketmq.client.apis.consumer.FilterExpression;
import org.apache.rocketmq.client.apis.consumer.FilterExpressionType;
import org.apache.rocketmq.client.apis.consumer.PushConsumer;
import org.apache.rocketmq.client.apis.consumer.SimpleConsumer;
import org.apache.rocketmq.client.apis.message.Message;
import org.apache.rocketmq.client.apis.message.MessageBuilder;
import org.apache.rocketmq.client.apis.message.MessageView;
import org.apache.rocketmq.client.apis.producer.Producer;
import org.apache.rocketmq.client.apis.producer.Transaction;
import org.apache.rocketmq.client.apis.producer.TransactionResolution;

/** gRPC clients behind RocketMQ's own proxy, which speaks POP to our brokers. */
final class Grpc {
    private static final ClientServiceProvider PROVIDER = ClientServiceProvider.loadService();
    private static final Duration POLL = Duration.ofSeconds(5);

    private final ClientConfiguration configuration;

    Grpc(String endpoint) {
        configuration = ClientConfiguration.newBuilder()
            .setEndpoints(endpoint)
            .enableSsl(false)
            .setRequestTimeout(Duration.ofSeconds(10))
            .build();
    }

    void push(Cluster cluster) throws Exception {
        cluster.topic("GrpcPush", 4, "NORMAL");
        cluster.group("GGrpcPush", false, 16);
        List<String> seen = Collections.synchronizedList(new ArrayList<>());
        try (PushConsumer consumer = consumer("GGrpcPush", "GrpcPush", "*", message -> {
                seen.add(text(message));
                return ConsumeResult.SUCCESS;
            }); Producer producer = producer("GrpcPush")) {
            List<String> sent = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                producer.send(message("GrpcPush", "m" + i).build());
                sent.add("m" + i);
            }
            Check.until(() -> seen.size() >= 100, () -> seen.size() + " messages of 100");
            Thread.sleep(1_000);
            Check.equal(sorted(sent), sorted(seen), "each once");
        }
        Check.equal(0L, cluster.messages("%RETRY%GGrpcPush_GrpcPush"), "what came back");
    }

    void simple(Cluster cluster) throws Exception {
        cluster.topic("GrpcSimple", 2, "NORMAL");
        cluster.group("GGrpcSimple", false, 16);
        try (SimpleConsumer consumer = simpleConsumer("GGrpcSimple", "GrpcSimple");
             Producer producer = producer("GrpcSimple")) {
            for (int i = 0; i < 4; i++) producer.send(message("GrpcSimple", "s" + i).build());
            List<MessageView> first = receive(consumer, 4, Duration.ofSeconds(10));
            Check.equal(List.of("s0", "s1", "s2", "s3"), texts(first), "what was sent");
            MessageView acknowledged = first.get(0);
            MessageView sooner = first.get(1);
            MessageView later = first.get(2);
            consumer.ack(acknowledged);
            consumer.changeInvisibleDuration(sooner, Duration.ofSeconds(10));
            consumer.changeInvisibleDuration(later, Duration.ofSeconds(300));
            List<MessageView> again = receive(consumer, 2, Duration.ofSeconds(60));
            Check.equal(sorted(List.of(text(sooner), text(first.get(3)))), texts(again), "what was not acknowledged");
            for (MessageView message : again) {
                Check.equal(2, message.getDeliveryAttempt(), "attempt");
                consumer.ack(message);
            }
            consumer.ack(later);
            Check.holds(consumer.receive(4, Duration.ofSeconds(10)).isEmpty(), "nothing is left");
        }
    }

    void tags(Cluster cluster) throws Exception {
        cluster.topic("GrpcTags", 2, "NORMAL");
        cluster.group("GGrpcTags", false, 16);
        List<String> seen = Collections.synchronizedList(new ArrayList<>());
        try (PushConsumer consumer = consumer("GGrpcTags", "GrpcTags", "A", message -> {
                seen.add(text(message));
                return ConsumeResult.SUCCESS;
            }); Producer producer = producer("GrpcTags")) {
            for (int i = 0; i < 5; i++) {
                producer.send(message("GrpcTags", "a" + i).setTag("A").build());
                producer.send(message("GrpcTags", "b" + i).setTag("B").build());
            }
            Check.until(() -> seen.size() >= 5, () -> seen.size() + " messages of 5");
            Thread.sleep(500);
            Check.equal(List.of("a0", "a1", "a2", "a3", "a4"), sorted(seen), "what matches");
        }
    }

    void ordered(Cluster cluster) throws Exception {
        cluster.topic("GrpcFifo", 2, "FIFO");
        cluster.group("GGrpcFifo", true, 16);
        List<String> seen = Collections.synchronizedList(new ArrayList<>());
        try (PushConsumer consumer = consumer("GGrpcFifo", "GrpcFifo", "*", message -> {
                boolean fails = text(message).equals("f1") && message.getDeliveryAttempt() == 1;
                seen.add(text(message) + (fails ? " failed" : ""));
                return fails ? ConsumeResult.FAILURE : ConsumeResult.SUCCESS;
            }); Producer producer = producer("GrpcFifo")) {
            for (int i = 0; i < 5; i++) {
                producer.send(message("GrpcFifo", "f" + i).setMessageGroup("one").build());
            }
            Check.until(() -> seen.size() >= 6, () -> seen + "");
            Thread.sleep(500);
            Check.equal(List.of("f0", "f1 failed", "f1", "f2", "f3", "f4"), List.copyOf(seen), "order, with a failure");
        }
    }

    void delayed(Cluster cluster) throws Exception {
        cluster.topic("GrpcDelay", 2, "DELAY");
        cluster.group("GGrpcDelay", false, 16);
        List<Long> seen = Collections.synchronizedList(new ArrayList<>());
        try (PushConsumer consumer = consumer("GGrpcDelay", "GrpcDelay", "*", message -> {
                seen.add(System.currentTimeMillis());
                return ConsumeResult.SUCCESS;
            }); Producer producer = producer("GrpcDelay")) {
            long due = System.currentTimeMillis() + 3_000;
            producer.send(message("GrpcDelay", "d").setDeliveryTimestamp(due).build());
            Check.until(() -> !seen.isEmpty(), () -> "it did not come");
            Check.holds(seen.get(0) >= due - 1_000, "it came before its time");
        }
    }

    void transaction(Cluster cluster) throws Exception {
        cluster.topic("GrpcTx", 2, "TRANSACTION");
        cluster.group("GGrpcTx", false, 16);
        List<String> seen = Collections.synchronizedList(new ArrayList<>());
        try (PushConsumer consumer = consumer("GGrpcTx", "GrpcTx", "*", message -> {
                seen.add(text(message));
                return ConsumeResult.SUCCESS;
            }); Producer producer = PROVIDER.newProducerBuilder()
                .setClientConfiguration(configuration)
                .setTopics("GrpcTx")
                .setTransactionChecker(message -> TransactionResolution.COMMIT)
                .build()) {
            Transaction committed = producer.beginTransaction();
            producer.send(message("GrpcTx", "committed").build(), committed);
            Transaction rolledBack = producer.beginTransaction();
            producer.send(message("GrpcTx", "rolled back").build(), rolledBack);
            rolledBack.rollback();
            committed.commit();
            Check.until(() -> !seen.isEmpty(), () -> "it did not come");
            Thread.sleep(1_000);
            Check.equal(List.of("committed"), List.copyOf(seen), "what was committed");
        }
    }

    void dead(Cluster cluster) throws Exception {
        cluster.topic("GrpcDead", 1, "NORMAL");
        cluster.group("GGrpcDead", false, 1);
        List<Integer> attempts = Collections.synchronizedList(new ArrayList<>());
        try (PushConsumer consumer = consumer("GGrpcDead", "GrpcDead", "*", message -> {
                attempts.add(message.getDeliveryAttempt());
                return ConsumeResult.FAILURE;
            }); Producer producer = producer("GrpcDead")) {
            producer.send(message("GrpcDead", "x").build());
            Check.until(() -> cluster.messages("%DLQ%GGrpcDead") == 1, () -> "attempts " + attempts);
            Check.equal(1, attempts.get(0), "first attempt");
        }
    }

    void killed(Cluster cluster, String kill, String restore) throws Exception {
        cluster.topic("GrpcKilled", 4, "NORMAL");
        cluster.group("GGrpcKilled", false, 16);
        List<String> seen = Collections.synchronizedList(new ArrayList<>());
        try (PushConsumer consumer = consumer("GGrpcKilled", "GrpcKilled", "*", message -> {
                seen.add(text(message));
                return ConsumeResult.SUCCESS;
            }); Producer producer = producer("GrpcKilled")) {
            List<String> sent = new ArrayList<>();
            Runnable restart = null;
            for (int i = 0; i < 200; i++) {
                if (i == 100) restart = cluster.killLeader(kill, restore);
                String body = "k" + i;
                for (int attempt = 0; ; attempt++) {
                    try {
                        producer.send(message("GrpcKilled", body).build());
                        break;
                    } catch (Exception failed) {
                        if (attempt == 60) throw failed;
                        Thread.sleep(500);
                    }
                }
                sent.add(body);
            }
            long count = sent.size();
            Check.until(() -> distinct(seen) == count, () -> distinct(seen) + " of " + count);
            restart.run();
        }
    }

    private static long distinct(List<String> texts) {
        synchronized (texts) {
            return texts.stream().distinct().count();
        }
    }

    private PushConsumer consumer(
        String group, String topic, String tags, org.apache.rocketmq.client.apis.consumer.MessageListener listener)
        throws Exception {
        return PROVIDER.newPushConsumerBuilder()
            .setClientConfiguration(configuration)
            .setConsumerGroup(group)
            .setSubscriptionExpressions(Collections.singletonMap(topic, new FilterExpression(tags, FilterExpressionType.TAG)))
            .setMessageListener(listener)
            .build();
    }

    private SimpleConsumer simpleConsumer(String group, String topic) throws Exception {
        return PROVIDER.newSimpleConsumerBuilder()
            .setClientConfiguration(configuration)
            .setConsumerGroup(group)
            .setAwaitDuration(POLL)
            .setSubscriptionExpressions(Collections.singletonMap(topic, FilterExpression.SUB_ALL))
            .build();
    }

    private Producer producer(String topic) throws Exception {
        return PROVIDER.newProducerBuilder().setClientConfiguration(configuration).setTopics(topic).build();
    }

    private static MessageBuilder message(String topic, String body) {
        return PROVIDER.newMessageBuilder().setTopic(topic).setBody(body.getBytes(StandardCharsets.UTF_8));
    }

    /** Receives until that many have come, by body. */
    private static List<MessageView> receive(SimpleConsumer consumer, int count, Duration invisible) throws Exception {
        List<MessageView> received = new ArrayList<>();
        Check.until(() -> {
            received.addAll(consumer.receive(count, invisible));
            return received.size() >= count;
        }, () -> texts(received) + "");
        received.sort((a, b) -> text(a).compareTo(text(b)));
        return received;
    }

    private static List<String> texts(List<MessageView> messages) {
        return messages.stream().map(Grpc::text).sorted().collect(Collectors.toList());
    }

    private static List<String> sorted(List<String> texts) {
        return texts.stream().sorted().collect(Collectors.toList());
    }

    private static String text(MessageView message) {
        ByteBuffer body = message.getBody();
        return StandardCharsets.UTF_8.decode(body.duplicate()).toString();
    }
}
