package ledgermq.pop;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Runs all scenarios against a name server and a proxy, some side by side, and prints TAP. */
public final class Main {
    private static final int SIDE_BY_SIDE = 3;

    interface Scenario {
        void run(Cluster cluster) throws Exception;
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 4) {
            System.err.println("Usage: Main NAMESERVER PROXY KILL-COMMAND START-COMMAND");
            System.exit(2);
        }
        Grpc grpc = new Grpc(args[1]);
        Map<String, Scenario> scenarios = new LinkedHashMap<>();
        scenarios.put("a push consumer in POP mode gets every message once", Remoting::everything);
        scenarios.put("two push consumers in POP mode share one queue", Remoting::shared);
        scenarios.put("RECONSUME_LATER brings the message again, once", Remoting::later);
        scenarios.put("what a stuck consumer holds comes back after its invisible time", Remoting::takenOver);
        scenarios.put("tags are filtered in POP mode", Remoting::tags);
        scenarios.put("gRPC: a push consumer gets every message once", grpc::push);
        scenarios.put("gRPC: a simple consumer acknowledges, changes the invisible time, and gets the rest again", grpc::simple);
        scenarios.put("gRPC: tags are filtered", grpc::tags);
        scenarios.put("gRPC: messages of one group keep their order through a failure", grpc::ordered);
        scenarios.put("gRPC: a delayed message comes at its time", grpc::delayed);
        scenarios.put("gRPC: what is committed comes, what is rolled back does not", grpc::transaction);
        scenarios.put("gRPC: a message that always fails goes to the dead letters", grpc::dead);
        boolean passed = run(scenarios, args[0], 0);
        // These disturb all others.
        Map<String, Scenario> alone = new LinkedHashMap<>();
        alone.put("a killed leader: a push consumer in POP mode gets everything", cluster -> Remoting.killed(cluster, args[2], args[3]));
        alone.put("gRPC: a killed leader: a push consumer gets everything", cluster -> grpc.killed(cluster, args[2], args[3]));
        for (Map.Entry<String, Scenario> scenario : alone.entrySet()) {
            passed &= run(Map.of(scenario.getKey(), scenario.getValue()), args[0], scenarios.size());
            scenarios.put(scenario.getKey(), scenario.getValue());
        }
        System.out.println("1.." + scenarios.size());
        System.exit(passed ? 0 : 1);
    }

    /** `before`: scenarios that were run already. */
    private static boolean run(Map<String, Scenario> scenarios, String nameServer, int before) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(SIDE_BY_SIDE);
        List<Future<String>> results = new ArrayList<>();
        for (Scenario scenario : scenarios.values()) {
            results.add(pool.submit(() -> problem(scenario, nameServer)));
        }
        if (before == 0) System.out.println("TAP version 13");
        boolean passed = true;
        int number = before;
        for (String name : scenarios.keySet()) {
            String problem = results.get(number - before).get();
            number += 1;
            System.out.println((problem == null ? "ok " : "not ok ") + number + " - " + name);
            if (problem != null) {
                passed = false;
                System.out.println("# " + problem.replace("\n", "\n# "));
            }
        }
        pool.shutdown();
        return passed;
    }

    /** Null when the scenario holds. */
    private static String problem(Scenario scenario, String nameServer) {
        try (Cluster cluster = new Cluster(nameServer)) {
            scenario.run(cluster);
            return null;
        } catch (Exception | AssertionError error) {
            StringBuilder text = new StringBuilder(error.toString());
            for (StackTraceElement frame : error.getStackTrace()) {
                if (frame.getClassName().startsWith("ledgermq.")) text.append("\nat ").append(frame);
            }
            return text.toString();
        }
    }

    private Main() {}
}
