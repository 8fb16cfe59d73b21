package ledgermq.interop;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.UUID;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;

/** Clients of one scenario, with names that no other run has; all are shut down at its end. */
final class Clients implements AutoCloseable {
    /** A client asks for routes every 30 s; a topic made by the first send is to be found sooner. */
    private static final int POLL_MS = 500;
    private static final int HEARTBEAT_MS = 1000;
    private static final int SEND_TIMEOUT_MS = 10_000;

    private final String nameServer;
    private final String suffix = UUID.randomUUID().toString().substring(0, 8);
    private final Deque<Runnable> shutdowns = new ArrayDeque<>();
    private int made;

    Clients(String nameServer) {
        this.nameServer = nameServer;
    }

    String topic() {
        return "own_topic_" + suffix;
    }

    String group() {
        return "own_group_" + suffix;
    }

    DefaultMQProducer producer() throws MQClientException {
        DefaultMQProducer producer = new DefaultMQProducer("own_producer_" + suffix);
        configure(producer);
        producer.setSendMsgTimeout(SEND_TIMEOUT_MS);
        producer.start();
        shutdowns.push(producer::shutdown);
        return producer;
    }

    /** Not started yet: the scenario subscribes and gives it a listener. Starts from the first message. */
    DefaultMQPushConsumer pushConsumer() {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group());
        configure(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(4);
        consumer.setConsumeThreadMax(4);
        shutdowns.push(consumer::shutdown);
        return consumer;
    }

    DefaultLitePullConsumer litePullConsumer() {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group());
        configure(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setAutoCommit(false);
        shutdowns.push(consumer::shutdown);
        return consumer;
    }

    private void configure(ClientConfig client) {
        made += 1;
        client.setNamesrvAddr(nameServer);
        client.setInstanceName(suffix + "_" + made);
        client.setPollNameServerInterval(POLL_MS);
        client.setHeartbeatBrokerInterval(HEARTBEAT_MS);
    }

    @Override
    public void close() {
        while (!shutdowns.isEmpty()) shutdowns.pop().run();
    }
}
