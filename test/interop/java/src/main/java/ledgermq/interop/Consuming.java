package ledgermq.interop;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.protocol.heartbeat.MessageModel;

/** Every way to consume. */
final class Consuming {
    private static final long DELAY_LEVEL_1_MS = 1000;
    /** How late a delayed message may be on a slow machine. */
    private static final long LATE_MS = 3000;

    /** Sends messages with the bodies `prefix0`, `prefix1`, … */
    private static void send(Clients clients, String prefix, int count) throws Exception {
        DefaultMQProducer producer = clients.producer();
        for (int i = 0; i < count; i += 1) {
            producer.send(Sending.message(clients.topic(), "T", prefix + i));
        }
    }

    static void ordered(Clients clients) throws Exception {
        DefaultMQProducer producer = clients.producer();
        for (int i = 0; i < 90; i += 1) {
            String customer = "customer" + i % 3;
            Message message = Sending.message(clients.topic(), customer, String.valueOf(i));
            producer.send(
                message,
                (queues, one, key) -> queues.get(Math.floorMod(key.hashCode(), queues.size())),
                customer
            );
        }
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = clients.pushConsumer();
        consumer.subscribe(clients.topic(), "*");
        consumer.registerMessageListener((MessageListenerOrderly) (batch, context) -> {
            inbox.add(batch);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        inbox.await(90);
        Map<String, Integer> last = new HashMap<>();
        for (MessageExt message : inbox.all()) {
            int number = Integer.parseInt(Inbox.text(message));
            int wanted = last.containsKey(message.getTags()) ? last.get(message.getTags()) + 3 : number % 3;
            Check.equal(wanted, number, "next of " + message.getTags());
            last.put(message.getTags(), number);
        }
        Check.equal(90, inbox.size(), "messages");
    }

    static void push(Clients clients) throws Exception {
        send(clients, "early", 50);
        Inbox inbox = new Inbox().consume(clients.pushConsumer(), clients.topic(), "*");
        inbox.await(50);
        send(clients, "late", 50);
        inbox.await(100);
        Check.equal(100, inbox.bodies().size(), "different messages");
        Check.equal(100, inbox.size(), "messages");
    }

    static void shared(Clients clients) throws Exception {
        send(clients, "first", 1);
        Inbox one = new Inbox().consume(clients.pushConsumer(), clients.topic(), "*");
        Inbox other = new Inbox().consume(clients.pushConsumer(), clients.topic(), "*");
        // Until both have queues, each round of messages goes to the first alone.
        Set<String> sent = new HashSet<>(Set.of("first0"));
        int[] round = {0};
        while (other.size() == 0 || one.size() == 0) {
            Check.holds(round[0] < 40, "one of two consumers gets nothing");
            String prefix = "round" + round[0]++ + "-";
            send(clients, prefix, 8);
            for (int i = 0; i < 8; i += 1) sent.add(prefix + i);
            Check.until(() -> seen(one, other).containsAll(sent), () -> "some of " + sent.size() + " missing");
        }
        Check.equal(sent, seen(one, other), "messages of both");
    }

    private static Set<String> seen(Inbox one, Inbox other) {
        Set<String> bodies = one.bodies();
        bodies.addAll(other.bodies());
        return bodies;
    }

    static void litePull(Clients clients) throws Exception {
        send(clients, "early", 30);
        DefaultLitePullConsumer first = clients.litePullConsumer();
        first.subscribe(clients.topic(), "*");
        first.start();
        Check.equal(30, poll(first, 30).size(), "messages of the first consumer");
        first.commitSync();
        // Persists what was committed.
        first.shutdown();
        send(clients, "late", 10);
        DefaultLitePullConsumer second = clients.litePullConsumer();
        second.subscribe(clients.topic(), "*");
        second.start();
        List<String> bodies = poll(second, 10);
        for (String body : bodies) Check.holds(body.startsWith("late"), body + " came again");
        Check.equal(10, new HashSet<>(bodies).size(), "messages of the second consumer");
    }

    private static List<String> poll(DefaultLitePullConsumer consumer, int count) throws Exception {
        List<String> bodies = new ArrayList<>();
        Check.until(() -> {
            for (MessageExt message : consumer.poll(200)) bodies.add(Inbox.text(message));
            return bodies.size() >= count;
        }, () -> bodies.size() + " messages of " + count);
        return bodies;
    }

    static void delayed(Clients clients) throws Exception {
        Inbox inbox = new Inbox();
        send(clients, "at once", 1);
        inbox.consume(clients.pushConsumer(), clients.topic(), "*").await(1);
        Message message = Sending.message(clients.topic(), "T", "later");
        message.setDelayTimeLevel(1);
        long sentMs = System.currentTimeMillis();
        clients.producer().send(message);
        inbox.await(2);
        long waitedMs = System.currentTimeMillis() - sentMs;
        MessageExt found = inbox.all().get(1);
        Check.equal("later", Inbox.text(found), "body");
        Check.equal(clients.topic(), found.getTopic(), "topic");
        Check.holds(
            waitedMs >= DELAY_LEVEL_1_MS && waitedMs < DELAY_LEVEL_1_MS + LATE_MS,
            "came after " + waitedMs + " ms"
        );
    }

    static void retry(Clients clients) throws Exception {
        send(clients, "m", 4);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = clients.pushConsumer();
        consumer.subscribe(clients.topic(), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            inbox.add(batch);
            MessageExt message = batch.get(0);
            if (!Inbox.text(message).equals("m2") || message.getReconsumeTimes() > 0) {
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
            context.setDelayLevelWhenNextConsume(1);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        inbox.await(5);
        List<MessageExt> times = new ArrayList<>();
        for (MessageExt message : inbox.all()) {
            if (Inbox.text(message).equals("m2")) times.add(message);
        }
        Check.equal(2, times.size(), "deliveries of the refused message");
        Check.equal(0, times.get(0).getReconsumeTimes(), "times consumed before the first");
        Check.equal(1, times.get(1).getReconsumeTimes(), "times consumed before the second");
        Check.equal(times.get(0).getMsgId(), times.get(1).getMsgId(), "message id");
        Check.equal(clients.topic(), times.get(1).getTopic(), "topic that the listener sees");
        Check.equal(5, inbox.size(), "deliveries");
    }

    static void tags(Clients clients) throws Exception {
        DefaultMQProducer producer = clients.producer();
        for (int i = 0; i < 30; i += 1) {
            producer.send(Sending.message(clients.topic(), List.of("A", "B", "C").get(i % 3), "m" + i));
        }
        Inbox inbox = new Inbox().consume(clients.pushConsumer(), clients.topic(), "A || C");
        inbox.await(20);
        // Comes behind everything that should have been left out, in each of the queues.
        for (int i = 0; i < 8; i += 1) producer.send(Sending.message(clients.topic(), "A", "end" + i));
        inbox.await(28);
        for (MessageExt message : inbox.all()) Check.holds(!message.getTags().equals("B"), "a B came through");
        Check.equal(28, inbox.bodies().size(), "different messages");
    }

    static void broadcast(Clients clients) throws Exception {
        send(clients, "early", 1);
        Inbox[] inboxes = {new Inbox(), new Inbox()};
        for (Inbox inbox : inboxes) {
            DefaultMQPushConsumer consumer = clients.pushConsumer();
            consumer.setMessageModel(MessageModel.BROADCASTING);
            inbox.consume(consumer, clients.topic(), "*").await(1);
        }
        send(clients, "m", 20);
        for (Inbox inbox : inboxes) {
            inbox.await(21);
            Check.equal(21, inbox.bodies().size(), "different messages");
        }
    }

    private Consuming() {}
}
