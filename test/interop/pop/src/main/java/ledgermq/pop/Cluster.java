package ledgermq.pop;

import java.util.Map;
import java.util.Set;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.CommandUtil;

/** The cluster as an administrator sees it. */
final class Cluster implements AutoCloseable {
    private static final String NAME = "RaftCluster";
    private static final int READ_WRITE = 6;
    private static final long TIMEOUT_MS = 10_000;
    private final DefaultMQAdminExt admin = new DefaultMQAdminExt();
    final String nameServer;

    Cluster(String nameServer) throws Exception {
        this.nameServer = nameServer;
        admin.setNamesrvAddr(nameServer);
        admin.setInstanceName("admin-" + System.nanoTime());
        admin.start();
    }

    private Set<String> leaders() throws Exception {
        return CommandUtil.fetchMasterAddrByClusterName(admin, NAME);
    }

    /** `type`: NORMAL, FIFO, DELAY or TRANSACTION. */
    void topic(String topic, int queues, String type) throws Exception {
        TopicConfig config = new TopicConfig(topic, queues, queues, READ_WRITE);
        config.setAttributes(Map.of("+message.type", type));
        for (String leader : leaders()) admin.createAndUpdateTopicConfig(leader, config);
        Check.until(() -> {
            try {
                return !admin.examineTopicRouteInfo(topic).getQueueDatas().isEmpty();
            } catch (Exception unknown) {
                return false;
            }
        }, () -> "no route to " + topic);
    }

    void group(String group, boolean orderly, int retryMaxTimes) throws Exception {
        SubscriptionGroupConfig config = new SubscriptionGroupConfig();
        config.setGroupName(group);
        config.setConsumeMessageOrderly(orderly);
        config.setRetryMaxTimes(retryMaxTimes);
        for (String leader : leaders()) admin.createAndUpdateSubscriptionGroupConfig(leader, config);
    }

    /** Ends the leader as a power cut does, and starts it again when `restore` is run. */
    Runnable killLeader(String kill, String restore) throws Exception {
        String leader = leaders().iterator().next();
        shell(kill, leader);
        return () -> {
            try {
                shell(restore, leader);
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        };
    }

    private static void shell(String command, String address) throws Exception {
        ProcessBuilder shell = new ProcessBuilder("sh", "-c", command);
        shell.environment().put("BROKER_ADDR", address);
        shell.redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.DISCARD);
        int status = shell.start().waitFor();
        if (status != 0) throw new IllegalStateException(command + " ended with " + status);
    }

    /** mqadmin setConsumeMode. */
    void popMode(String topic, String group) throws Exception {
        for (String leader : leaders()) {
            admin.setMessageRequestMode(leader, topic, group, MessageRequestMode.POP, 0, TIMEOUT_MS);
        }
    }

    /** Messages that a topic has; 0 while it is not there. */
    long messages(String topic) throws Exception {
        try {
            return admin.examineTopicStats(topic).getOffsetTable().values().stream()
                .mapToLong(offset -> offset.getMaxOffset() - offset.getMinOffset())
                .sum();
        } catch (Exception unknown) {
            return 0;
        }
    }

    /** What a group has not read yet of a topic, as consumerProgress shows it. */
    long backlog(String group, String topic) throws Exception {
        return admin.examineConsumeStats(group, topic).computeTotalDiff();
    }

    @Override
    public void close() {
        admin.shutdown();
    }
}
