package ledgermq.interop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * {@code Chaos NAMESERVERS TOPIC GROUP PAUSE_MS}: one sender a queue, each waiting for its answers, and an orderly consumer, as lines of
 * history (test/chaos/events.ts) on the standard output. "drain" on the standard input ends the senders, the end of it ends all.
 */
public final class Chaos {
    private static final int SEND_TIMEOUT_MS = 3000;
    private static final int RETRY_PAUSE_MS = 50;
    /** With the pause between them 20 s. */
    private static final int ROUTE_ATTEMPTS = 400;
    private static final PrintStream OUT = System.out;

    private static volatile boolean working = true;

    private Chaos() {}

    public static void main(String[] args) {
        try {
            run(args);
            // What is under way may wait for a broker; the process that asked for the end does not.
            Runtime.getRuntime().halt(0);
        } catch (Exception failure) {
            failure.printStackTrace();
            Runtime.getRuntime().halt(1);
        }
    }

    private static void run(String[] args) throws Exception {
        String topic = args[1];
        DefaultMQProducer producer = new DefaultMQProducer("chaos_java_producer");
        producer.setNamesrvAddr(args[0]);
        producer.setSendMsgTimeout(SEND_TIMEOUT_MS);
        producer.start();
        DefaultMQPushConsumer consumer = consumer(args[0], topic, args[2]);
        consumer.start();
        line("{\"started\":true}");
        List<Thread> lanes = new ArrayList<>();
        for (MessageQueue queue : queues(producer, topic)) {
            Thread lane = new Thread(() -> send(producer, queue, Integer.parseInt(args[3])));
            lane.start();
            lanes.add(lane);
        }
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        while (orders.readLine() != null) {
            working = false;
            for (Thread lane : lanes) lane.join();
            line("{\"drained\":true}");
        }
    }

    /** A name server may hear of a new topic later than the one that was asked for it. */
    private static List<MessageQueue> queues(DefaultMQProducer producer, String topic) throws Exception {
        for (int attempt = 1; ; attempt += 1) {
            try {
                return producer.fetchPublishMessageQueues(topic);
            } catch (MQClientException failure) {
                if (attempt == ROUTE_ATTEMPTS) throw failure;
                pause(RETRY_PAUSE_MS);
            }
        }
    }

    private static DefaultMQPushConsumer consumer(String nameServers, String topic, String group) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServers);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(4);
        consumer.setConsumeThreadMax(4);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            for (MessageExt message : messages) {
                line(head(group, "deliver", "ok", topic, new String(message.getBody(), StandardCharsets.UTF_8))
                    + place(message.getQueueId(), message.getQueueOffset()) + "}");
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        return consumer;
    }

    private static void send(DefaultMQProducer producer, MessageQueue queue, int pauseMs) {
        String sender = "java" + queue.getQueueId();
        for (int sequence = 0; working; sequence += 1) {
            untilStored(producer, queue, sender, sender + ":" + sequence);
            pause(pauseMs);
        }
    }

    private static void untilStored(DefaultMQProducer producer, MessageQueue queue, String sender, String value) {
        String topic = queue.getTopic();
        while (true) {
            line(head(sender, "send", "invoke", topic, value) + "}");
            try {
                Message message = new Message(topic, value.getBytes(StandardCharsets.UTF_8));
                SendResult sent = producer.send(message, queue);
                line(head(sender, "send", "ok", topic, value)
                    + place(sent.getMessageQueue().getQueueId(), sent.getQueueOffset()) + "}");
                return;
            } catch (Exception failure) {
                String reason = failure.getClass().getSimpleName();
                line(head(sender, "send", "unknown", topic, value) + ",\"error\":\"" + reason + "\"}");
                pause(RETRY_PAUSE_MS);
            }
        }
    }

    /** Without the closing bracket. Times are of CLOCK_MONOTONIC, which nanoTime is on Linux. */
    private static String head(String client, String op, String kind, String topic, String value) {
        return "{\"at\":" + System.nanoTime() / 1000 / 1000.0 + ",\"client\":\"" + client + "\",\"op\":\"" + op
            + "\",\"kind\":\"" + kind + "\",\"topic\":\"" + topic + "\",\"value\":\"" + value + "\"";
    }

    private static String place(int queue, long offset) {
        return ",\"queue\":" + queue + ",\"offset\":" + offset;
    }

    private static synchronized void line(String text) {
        OUT.println(text);
    }

    private static void pause(int ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
